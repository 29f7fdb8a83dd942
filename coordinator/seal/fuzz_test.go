package seal

import (
	"bytes"
	"testing"
)

// Whatever can be read as keys seals what it opens, for the same use alone; and
// nothing opens that nobody sealed.
func FuzzKeys(f *testing.F) {
	f.Add(NewKey(), []byte("data"), []byte("of"))
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"+NewKey(), []byte(nil), []byte(nil))
	f.Add("AAAA", []byte("x"), []byte("y"))
	f.Fuzz(func(t *testing.T, text string, data, bound []byte) {
		k, err := Parse(text)
		if err != nil {
			return
		}
		if got, err := k.Open(k.Current(), k.Seal(data, bound), bound); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%q came back as %q, %v", data, got, err)
		}
		if _, err := k.Open(k.Current(), k.Seal(data, bound), append([]byte("x"), bound...)); err == nil {
			t.Error("it opens for another use")
		}
		if got, err := k.Open(k.Current(), data, bound); err == nil {
			t.Errorf("%q opens as %q, which nobody sealed", data, got)
		}
	})
}

package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func parse(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensOnlyAsWhatItIs(t *testing.T) {
	k, data, whose := parse(t, NewKey()), []byte("hunter2"), []byte("of alice")
	sealed := k.Seal(data, whose)
	if bytes.Contains(sealed, data) {
		t.Error("it is not sealed")
	}
	if got, err := k.Open(k.Current(), sealed, whose); err != nil || !bytes.Equal(got, data) {
		t.Errorf("opened as %q, %v", got, err)
	}
	if _, err := k.Open(k.Current(), sealed, []byte("of bob")); err == nil {
		t.Error("it opens as somebody else's")
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for name, bad := range map[string][]byte{"tampered with": changed, "cut short": sealed[:5], "nothing": nil} {
		if _, err := k.Open(k.Current(), bad, whose); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if _, err := parse(t, NewKey()).Open(k.Current(), sealed, whose); !errors.Is(err, ErrNoKey) {
		t.Errorf("without the key: %v", err)
	}
}

func TestAKeyFileIsMadeAndRotated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.key")
	load := func() *Keys {
		t.Helper()
		k, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := load()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || load().Current() != first.Current() {
		t.Errorf("a file of mode %v, with another key each time", info.Mode())
	}
	sealed := first.Seal([]byte("x"), nil)
	if err := Rotate(file); err != nil {
		t.Fatal(err)
	}
	second := load()
	if second.Current() == first.Current() || !second.HasOlder() {
		t.Errorf("after the rotation %s seals, and before it %s did", second.Current(), first.Current())
	}
	if _, err := second.Open(first.Current(), sealed, nil); err != nil {
		t.Errorf("sealed before the rotation: %v", err)
	}
	if err := second.ForgetOlder(file); err != nil {
		t.Fatal(err)
	}
	if third := load(); third.Current() != second.Current() || third.HasOlder() {
		t.Error("the older key is still there, or the newer is not")
	}
	// Rotated again meanwhile: what has the newest key sees to it.
	if err := Rotate(file); err != nil {
		t.Fatal(err)
	}
	if err := second.ForgetOlder(file); err != nil || !load().HasOlder() {
		t.Errorf("a key was forgotten by who does not know the newest: %v", err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, text := range []string{"", "\n", "hunter2", "aGVsbG8="} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

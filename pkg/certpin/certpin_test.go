package certpin

import (
	"crypto/sha256"
	"strings"
	"testing"
)

// Whatever is read as a pin is what its certificate's pin would be, in any case of
// its digits.
func FuzzParse(f *testing.F) {
	f.Add(Of([]byte("a certificate")))
	f.Add(strings.ToUpper(Of(nil)))
	f.Add("sha256-raw:")
	f.Add("sha256-raw:" + strings.Repeat("0", 65))
	f.Fuzz(func(t *testing.T, pin string) {
		sum, err := Parse(pin)
		if err != nil {
			return
		}
		if digits, ok := strings.CutPrefix(pin, prefix); !ok || len(digits) != 64 {
			t.Errorf("%q is taken for a pin", pin)
		}
		if again, err := Parse(strings.ToLower(pin)); err != nil || again != sum {
			t.Errorf("%q: %x and %x, %v", pin, sum, again, err)
		}
	})
}

func TestAPinIsItsCertificates(t *testing.T) {
	der := []byte("a certificate")
	if sum, err := Parse(Of(der)); err != nil || sum != sha256.Sum256(der) {
		t.Errorf("%x, %v", sum, err)
	}
	for _, bad := range []string{"", "sha256-raw:", Of(der) + "0", Of(der)[:len(Of(der))-1], Of(der)[1:], "sha256-raw:" + strings.Repeat("x", 64)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken for a pin", bad)
		}
	}
}

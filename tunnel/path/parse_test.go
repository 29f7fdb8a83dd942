package path

import (
	"bytes"
	"testing"
)

// A report is read as it was written, whatever comes behind it.
func FuzzParseReport(f *testing.F) {
	f.Add(appendReport(nil, counters{7, 3}, true))
	f.Add([]byte(reportMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, garbled, ok := parseReport(b)
		// Of the last byte it matters only whether it is zero.
		if ok && !bytes.HasPrefix(b, appendReport(nil, c, garbled)[:reportLen-1]) || garbled && b[reportLen-1] == 0 {
			t.Errorf("%x was read as %+v, garbled %t", b, c, garbled)
		}
		if !ok && len(b) >= reportLen && bytes.HasPrefix(b, []byte(reportMagic)) {
			t.Errorf("%x was not read", b)
		}
	})
}

// A key that is read is written the same.
func FuzzParseHexNode(f *testing.F) {
	f.Add("0101010101010101010101010101010101010101010101010101010101010101")
	f.Add("nodekey:00")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseHexNode(s); err == nil && !bytes.EqualFold([]byte(hexNode(k)), []byte(s)) {
			t.Errorf("%q was read as %s", s, hexNode(k))
		}
	})
}

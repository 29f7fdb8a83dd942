package foreign

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWhatDoesNotPrintIsASpace(t *testing.T) {
	for text, want := range map[string]string{
		"plain, Ünïcode → 日本 🙂":  "plain, Ünïcode → 日本 🙂",
		"a\tb":                   "a\tb",
		"one\ntwo\r\nthree":      "one two  three",
		"\x1b[31mred\x1b[0m":     " [31mred [0m",
		"a\x00b\x7fc\u009bd":     "a b c d",
		"ev\u202eil\u2066\u200b": "ev il  ",
		"no \xff\xfe UTF-8":      "no \ufffd\ufffd UTF-8",
		"":                       "",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsTooLongEndsInAnEllipsisAndFits(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "lo…"},
		{"üüüü", 8, "üüüü"},
		{"üüüü", 7, "üü…"},
		{"üüüü", 6, "ü…"}, // not half of the second
		{"日本語", 8, "日…"},
		{"abcd", 3, "…"},
		{"abc", 2, ""},
		{"", 0, ""},
	} {
		if got := Clip(c.text, c.limit); got != c.want {
			t.Errorf("%q in %d bytes: %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[2J\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
			t.Fatalf("%q became %q", s, got)
		}
		if again := Printable(got); again != got {
			t.Fatalf("%q became %q, and then %q", s, got, again)
		}
	})
}

func FuzzClip(f *testing.F) {
	f.Add("日本語 and more", 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit &= 0xff
		got := Clip(s, limit)
		if len(got) > limit || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Fatalf("%q in %d bytes is %q", s, limit, got)
		}
		if !strings.HasPrefix(s, strings.TrimSuffix(got, ellipsis)) {
			t.Fatalf("%q does not begin with %q", s, got)
		}
	})
}

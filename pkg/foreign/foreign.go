// Package foreign makes text that others wrote fit to be kept, logged and shown,
// whatever they put into it.
package foreign

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s as a terminal shows it without doing anything else, and as
// Postgres keeps it: tabs stay; whatever else does not print (line ends, escapes,
// zero bytes, what turns the direction of text) is a space, so that words stay
// apart; and bytes that are no UTF-8 are U+FFFD.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// ellipsis ends what was cut.
const ellipsis = "…"

// Clip returns s if it is at most limit bytes long, and else as much of its
// beginning as fits with an ellipsis behind it. It cuts no character in two.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := max(0, limit-len(ellipsis))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	if limit < len(ellipsis) {
		return ""
	}
	return s[:end] + ellipsis
}

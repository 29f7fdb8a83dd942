// Package redact takes secrets out of text that leaves the house: logs, and what
// is sent to those who help.
//
// A [Redactor] knows how secrets look (adit's tokens, passwords in URLs and
// connection strings, bearer tokens, private keys, JSON Web Tokens) and the exact
// text of those it is given.
package redact

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Hidden stands where a secret was.
const Hidden = "(hidden)"

// minSecret is the shortest text that is looked for: shorter ones are everywhere.
const minSecret = 6

// looks are how secrets look. Where a pattern has groups, the first and the
// last, what is around the secret, stay.
var looks = []*regexp.Regexp{
	regexp.MustCompile(`()adit_(?:[a-z]+_)?[0-9a-f]{32}_[A-Za-z0-9_-]+()`),
	regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^\s:/?#@"']*:)[^\s/@"']+(@)`),
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)[ +])[A-Za-z0-9._~+/=-]{6,}()`),
	regexp.MustCompile(`(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)`),
	regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*()`),
	regexp.MustCompile(`(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)\\?["']?[ \t]*[=:][ \t]*\\?["']?)[^\s"'&,;}\\]{3,}()`),
}

// Redactor takes secrets out. It may be used concurrently.
type Redactor struct{ exact *strings.Replacer }

// New returns a redactor that knows some secrets exactly, also in base64 and
// as a part of a URL. Those too short to be told from other text are left out.
func New(secrets ...string) *Redactor {
	var pairs []string
	for _, s := range secrets {
		for line := range strings.SplitSeq(s, "\n") {
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				pairs = append(pairs, line, url.QueryEscape(line), url.PathEscape(line), base64.StdEncoding.EncodeToString([]byte(line)))
			}
		}
	}
	// The longest first: a secret may be within another.
	slices.SortFunc(pairs, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var table []string
	for _, s := range slices.Compact(pairs) {
		table = append(table, s, Hidden)
	}
	return &Redactor{strings.NewReplacer(table...)}
}

// Text returns s without secrets.
func (r *Redactor) Text(s string) string {
	s = r.exact.Replace(s)
	for _, look := range looks {
		s = look.ReplaceAllString(s, "${1}"+Hidden+"${2}")
	}
	return s
}

// Writer returns a writer that passes on each write without secrets. One that
// is cut in two by writes is not seen: give it whole lines.
func (r *Redactor) Writer(to io.Writer) io.Writer { return writer{r, to} }

type writer struct {
	r  *Redactor
	to io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	clean := []byte(w.r.Text(string(p)))
	if bytes.Equal(clean, p) {
		clean = p
	}
	if _, err := w.to.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

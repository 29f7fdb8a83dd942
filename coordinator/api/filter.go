package api

import (
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/aditmesh/adit/pkg/foreign"
)

// maxTerms bounds a query: each list knows a handful of keys.
const maxTerms = 16

// maxQuoted is how much of what people wrote fits in a sentence.
const maxQuoted = 40

// parseFilter reads a query such as
//
//	owner:me status:running "name:my dev"
//
// Terms are apart by spaces; quotes keep spaces within one, or within its value.
// A term without a key is a name. Keys are those of known, in any case, each once
// at most: whoever misspells one learns so, and does not get everything. The
// answer has no keys but known ones, and no empty values.
func parseFilter(q string, known ...string) (map[string]string, error) {
	terms := make(map[string]string)
	for rest := q; ; {
		var text string
		var err error
		if text, rest, err = nextTerm(rest); err != nil {
			return nil, err
		}
		if text == "" && rest == "" {
			return terms, nil
		}
		key, value, ok := strings.Cut(text, ":")
		if !ok {
			key, value = "name", text
		}
		key = strings.ToLower(key)
		switch {
		case !slices.Contains(known, key):
			return nil, badQuery(`there is no key "` + foreign.Clip(foreign.Printable(key), maxQuoted) + `"; the keys are ` + strings.Join(known, ", "))
		case value == "":
			return nil, badQuery(key + " has no value")
		case terms[key] != "":
			return nil, badQuery(key + " is there twice")
		case len(terms) == maxTerms:
			return nil, badQuery("too many terms")
		}
		terms[key] = value
	}
}

// nextTerm cuts the first term off a query, without its quotes. Both are empty
// at the end.
func nextTerm(q string) (term, rest string, err error) {
	q = strings.TrimLeftFunc(q, unicode.IsSpace)
	var b strings.Builder
	inside := false
	for i, r := range q {
		switch {
		case r == unicode.ReplacementChar || r != '\t' && unicode.IsControl(r):
			return "", "", badQuery("it is no text")
		case r == '"':
			inside = !inside
		case unicode.IsSpace(r) && !inside:
			if b.Len() == 0 { // a pair of quotes around nothing
				return "", "", badQuery("an empty term")
			}
			return b.String(), strings.TrimLeftFunc(q[i:], unicode.IsSpace), nil
		default:
			b.WriteRune(r)
		}
	}
	if inside {
		return "", "", badQuery("a quote is not closed")
	}
	if b.Len() == 0 && q != "" {
		return "", "", badQuery("an empty term")
	}
	return b.String(), "", nil
}

// oneOf checks that a term's value is one of a few words.
func oneOf(terms map[string]string, key string, words ...string) error {
	v, ok := terms[key]
	if !ok || slices.Contains(words, v) {
		return nil
	}
	return badQuery(key + " is one of " + strings.Join(words, ", "))
}

func badQuery(why string) error {
	return coded(http.StatusUnprocessableEntity, "bad-query", "the query cannot be read: "+why).at("query.q", why)
}

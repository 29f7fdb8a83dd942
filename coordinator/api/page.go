package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// Page is what part of a list is wanted. Operations embed it in their input, or
// [Query] if the list can be filtered; exported, or the library does not see it.
type Page struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"next_cursor of the page before; the first page if empty"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many items a page has at most"`
}

// Query is a page of those that a query lets pass.
type Query struct {
	Page
	Q string `query:"q" maxLength:"512" doc:"Which of them: terms such as key:value, apart by spaces; a word without a key is part of a name" example:"name:dev"`
}

// A cursor names the last item of a page by what the list is sorted by, so that
// items which come and go between two pages neither hide others nor show them
// twice. It holds that and what list it is of, and is nobody's business but ours:
//
//	base64(JSON [list, digest of the query, key, key…])
//
// It grants nothing: the same checks decide about each page.

// after returns the sort keys, n of them, that the page begins behind; nil for
// the first one. The cursor has to be of the same list, with the same filter.
func (p Page) after(list, filter string, n int) ([]string, error) {
	if p.Cursor == "" {
		return nil, nil
	}
	var parts []string
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err == nil {
		err = json.Unmarshal(raw, &parts)
	}
	if err != nil || len(parts) != n+2 || parts[0] != list || parts[1] != filterDigest(filter) ||
		slices.ContainsFunc(parts, func(s string) bool { return !isText(s) }) {
		return nil, badCursor()
	}
	return parts[2:], nil
}

func badCursor() error {
	const why = "it is not of this list and query; begin again without"
	return coded(http.StatusUnprocessableEntity, "bad-cursor", "the cursor cannot be used: "+why).at("query.cursor", why)
}

// cursor names an item of a list by its sort keys.
func cursor(list, filter string, keys ...string) string {
	raw, err := json.Marshal(append([]string{list, filterDigest(filter)}, keys...))
	if err != nil {
		panic(err) // strings
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func filterDigest(filter string) string {
	if filter == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(filter))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// cut makes a page of items that were read, one more than asked for if there are
// more: they are cut off and named by the page's cursor.
func cut[T any](items []T, p Page, next func(last T) string) ([]T, string) {
	if len(items) <= p.Limit {
		return items, ""
	}
	items = items[:p.Limit]
	return items, next(items[p.Limit-1])
}

// slice makes a page of a list that is small enough to be read whole. It is sorted
// by key, which no two items share.
func slice[T any](items []T, list, filter string, p Page, key func(T) string) (*body[sdk.List[T]], error) {
	after, err := p.after(list, filter, 1)
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if after != nil {
		i, found := slices.BinarySearchFunc(items, after[0], func(t T, k string) int { return strings.Compare(key(t), k) })
		if found {
			i++
		}
		items = items[i:]
	}
	items, next := cut(items, p, func(last T) string { return cursor(list, filter, key(last)) })
	return listBody(items, next), nil
}

// named lets those pass whose name has a part that a query asks for. Names are all
// that such lists are filtered by.
func named[T any](items []T, q string, name func(T) string) ([]T, error) {
	terms, err := parseFilter(q, "name")
	if err != nil || terms["name"] == "" {
		return items, err
	}
	part := strings.ToLower(terms["name"])
	return slices.DeleteFunc(items, func(t T) bool { return !strings.Contains(strings.ToLower(name(t)), part) }), nil
}

// listBody is the answer with one page.
func listBody[T any](items []T, next string) *body[sdk.List[T]] {
	if items == nil {
		items = []T{}
	}
	return &body[sdk.List[T]]{sdk.List[T]{Items: items, NextCursor: next}}
}

// sortable writes a time so that texts are in the order of times, to what Postgres
// keeps of it.
func sortable(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

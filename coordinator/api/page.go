package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
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

// before returns the number that the page begins below, of a list with the newest
// first; zero for the first page.
func (p Page) before(list, filter string) (int64, error) {
	after, err := p.after(list, filter, 1)
	if err != nil || after == nil {
		return 0, err
	}
	n, err := strconv.ParseInt(after[0], 10, 64)
	if err != nil || n < 1 {
		return 0, badCursor()
	}
	return n, nil
}

func badCursor() *problem {
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

// paged makes a page of a list that the store reads by pages, sorted by n keys: of
// is whose list it is, if there are several of that name, and key names an item.
func paged[S, J any](a *API, in Query, list, of string, n int, read func(store.Page) ([]S, error), key func(S) []string, show func(S) J) (*body[sdk.List[J]], error) {
	terms, err := parseFilter(in.Q, "name")
	if err != nil {
		return nil, err
	}
	filter := of + in.Q
	after, err := in.after(list, filter, n)
	if err != nil {
		return nil, err
	}
	found, err := read(store.Page{After: after, Name: terms["name"], Max: in.Limit + 1})
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last S) string { return cursor(list, filter, key(last)...) })
	items := make([]J, 0, len(found))
	for _, f := range found {
		items = append(items, show(f))
	}
	return listBody(items, next), nil
}

// within says of which organizations a caller may do something with all things of a
// kind.
func within(ctx context.Context, action auth.Action, of auth.Resource) store.Scope {
	who := caller(ctx)
	s := store.Scope{Everywhere: auth.Allowed(who, action, auth.Object{Type: of})}
	for id := range who.Organizations {
		if !s.Everywhere && auth.Allowed(who, action, auth.Object{Type: of, Organization: id}) {
			s.Organizations = append(s.Organizations, id)
		}
	}
	return s
}

// slice makes a page of a list that is in memory. It is sorted by key, which no two
// items share.
func slice[T any](items []T, list, filter string, p Page, key func(T) string) (*body[sdk.List[T]], error) {
	after, err := p.after(list, filter, 1)
	if err != nil {
		return nil, err
	}
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

// listBody is the answer with one page.
func listBody[T any](items []T, next string) *body[sdk.List[T]] {
	if items == nil {
		items = []T{}
	}
	return &body[sdk.List[T]]{sdk.List[T]{Items: items, NextCursor: next}}
}

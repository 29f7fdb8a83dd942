package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
)

// meant returns the one that a caller means of the things that have a name, of which
// each organization may have one: that of an organization or, if none is named, the
// only one that they may see. Of what they may not see there is none.
func meant[T any](ctx context.Context, list []T, organization, what, name string, object func(T) auth.Object, of func(T) string) (T, error) {
	var seen []T
	var names []string
	for _, t := range list {
		if organization != "" && !strings.EqualFold(of(t), organization) || !auth.Allowed(caller(ctx), auth.Read, object(t)) {
			continue
		}
		seen, names = append(seen, t), append(names, of(t)+"/"+name)
	}
	var none T
	switch len(seen) {
	case 0:
		return none, store.ErrNotFound
	case 1:
		return seen[0], nil
	}
	return none, coded(http.StatusConflict, "ambiguous-name",
		"several organizations have a "+what+" "+foreign.Printable(name)+": say which, "+foreign.Printable(strings.Join(names, " or ")))
}

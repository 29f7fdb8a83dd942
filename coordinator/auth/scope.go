package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Scopes narrow what a token may do: each is a resource and an action, such as
// "template:read", where "*" is any. They never widen what its user may do. None
// at all is everything.
type Scopes []string

// everyScope stands for any resource, or any action.
const everyScope = "*"

// maxScopes is more than anybody can need: one for each pair.
const maxScopes = 200

// ParseScopes checks scopes that somebody asks for.
func ParseScopes(list []string) (Scopes, error) {
	if len(list) > maxScopes {
		return nil, fmt.Errorf("%d scopes are too many", len(list))
	}
	for _, s := range list {
		resource, action, ok := strings.Cut(s, ":")
		if !ok || resource != everyScope && !slices.Contains(Resources, Resource(resource)) ||
			action != everyScope && !slices.Contains(Actions, Action(action)) {
			return nil, fmt.Errorf("scope %.60q: want RESOURCE:ACTION, such as workspace:read, workspace:* or *:read", s)
		}
	}
	return list, nil
}

// cover reports whether a token with these scopes may be used for an action.
func (s Scopes) cover(resource Resource, action Action) bool {
	if len(s) == 0 {
		return true
	}
	return slices.ContainsFunc(s, func(scope string) bool {
		r, a, _ := strings.Cut(scope, ":")
		return (r == everyScope || r == string(resource)) && (a == everyScope || a == string(action))
	})
}

// Within reports whether everything that these scopes let happen other scopes
// let happen, too: no token makes one that may do more.
func (s Scopes) Within(other Scopes) bool {
	for _, r := range Resources {
		for _, a := range Actions {
			if s.cover(r, a) && !other.cover(r, a) {
				return false
			}
		}
	}
	return true
}

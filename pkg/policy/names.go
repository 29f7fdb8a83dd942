package policy

import (
	"fmt"
	"slices"
	"strings"
)

const (
	anything       = "*"
	me             = "me"
	groupPrefix    = "group:"
	templatePrefix = "template:"
	tagPrefix      = "tag:"
)

// Person is somebody who reaches workspaces, or whose those are.
type Person struct {
	Name string
	// Groups are those that they are in: GROUP or ORGANIZATION/GROUP, or both.
	Groups []string
}

// Workspace is one of somebody's.
type Workspace struct {
	Owner Person
	Name  string
	// Templates are what its template is called: TEMPLATE or ORGANIZATION/TEMPLATE, or
	// both.
	Templates []string
}

// The case of names does not count.

func equal(a, b string) bool { return strings.EqualFold(a, b) }

func among(list []string, name string) bool {
	return slices.ContainsFunc(list, func(one string) bool { return equal(one, name) })
}

// people are some: everybody, a user, or the members of a group.
type people struct{ user, group string }

func readPeople(text string) (people, error) {
	group, isGroup := strings.CutPrefix(text, groupPrefix)
	switch {
	case strings.HasPrefix(text, templatePrefix), strings.HasPrefix(text, tagPrefix):
		return people{}, fmt.Errorf("%.80q are workspaces, and rules are from people; links are from workspaces", text)
	case isGroup && !isPath(group, 2):
		return people{}, fmt.Errorf("%.80q names no group; want group:NAME or group:ORGANIZATION/NAME", text)
	case isGroup:
		return people{group: group}, nil
	case strings.Contains(text, "/"):
		return people{}, fmt.Errorf("%.80q is a workspace, and rules are from people; links are from workspaces", text)
	case text == me:
		return people{}, fmt.Errorf(`me is whoever asks; write "*" for everybody`)
	case !isPath(text, 1):
		return people{}, fmt.Errorf("%.80q is no user's name", text)
	}
	return people{user: text}, nil
}

func (p people) has(who Person) bool {
	if p.group != "" {
		return among(who.Groups, p.group)
	}
	return p.user == anything || equal(p.user, who.Name)
}

// workspaces are some: by owner and name, by template, or those of a tag.
type workspaces struct {
	owner          people // its user may be me
	name, template string
	tag            []workspaces // none is in a tag itself
}

// readWorkspaces reads all but tags.
func readWorkspaces(text string) (workspaces, error) {
	if template, ok := strings.CutPrefix(text, templatePrefix); ok {
		if !isPath(template, 2) {
			return workspaces{}, fmt.Errorf("%.80q names no template; want template:NAME or template:ORGANIZATION/NAME", text)
		}
		return workspaces{template: template}, nil
	}
	i := strings.LastIndex(text, "/")
	if i < 0 || !isPath(text[i+1:], 1) {
		return workspaces{}, fmt.Errorf("%.80q is not OWNER/WORKSPACE, as alice/dev, me/* or group:web/*, nor template:NAME or tag:NAME", text)
	}
	if text[:i] == me {
		return workspaces{owner: people{user: me}, name: text[i+1:]}, nil
	}
	owner, err := readPeople(text[:i])
	if err != nil {
		return workspaces{}, fmt.Errorf("%.80q: the owner: %w", text, err)
	}
	return workspaces{owner: owner, name: text[i+1:]}, nil
}

// has reports whether a workspace is among them, for somebody who is me.
func (w workspaces) has(one Workspace, asks Person) bool {
	switch {
	case w.tag != nil:
		return hasOne(w.tag, one, asks)
	case w.template != "":
		return among(one.Templates, w.template)
	case w.owner.user == me:
		return equal(asks.Name, one.Owner.Name) && (w.name == anything || equal(w.name, one.Name))
	}
	return w.owner.has(one.Owner) && (w.name == anything || equal(w.name, one.Name))
}

func hasOne(list []workspaces, one Workspace, asks Person) bool {
	return slices.ContainsFunc(list, func(w workspaces) bool { return w.has(one, asks) })
}

// isPath reports whether text has one to most names, with slashes between.
func isPath(text string, most int) bool {
	names := strings.Split(text, "/")
	return len(names) <= most && !slices.ContainsFunc(names, func(name string) bool {
		return name == "" || strings.ContainsAny(name, ": \t\r\n")
	})
}

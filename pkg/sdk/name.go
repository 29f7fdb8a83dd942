package sdk

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// WorkspaceName names a workspace and perhaps one of its agents, as people
// write it: "WS", "OWNER/WS", "WS.AGENT" or "OWNER/WS.AGENT".
type WorkspaceName struct {
	// Owner is "me" when none is written.
	Owner string
	Name  string
	// Agent is empty when none is written.
	Agent string
}

// ErrName is text that names no workspace.
var ErrName = errors.New("want WS, OWNER/WS or WS.AGENT")

// maxLabel is how long one part of a name may be: a DNS label.
const maxLabel = 63

// ParseWorkspaceName reads a name.
func ParseWorkspaceName(s string) (WorkspaceName, error) {
	n := WorkspaceName{Owner: "me"}
	rest := s
	if owner, after, ok := strings.Cut(rest, "/"); ok {
		n.Owner, rest = owner, after
	}
	var hasAgent bool
	n.Name, n.Agent, hasAgent = strings.Cut(rest, ".")
	if !isLabel(n.Owner) || !isLabel(n.Name) || hasAgent && !isLabel(n.Agent) {
		return WorkspaceName{}, fmt.Errorf("workspace %.80q: %w", s, ErrName)
	}
	return n, nil
}

// String writes the name as ParseWorkspaceName reads it.
func (n WorkspaceName) String() string {
	s := n.Name
	if n.Owner != "me" {
		s = n.Owner + "/" + s
	}
	if n.Agent != "" {
		s += "." + n.Agent
	}
	return s
}

// owned is the path of what an organization has under a name, with what follows it.
// Where several organizations have one, the name is "ORGANIZATION/NAME".
func owned(noun, name string, rest ...string) []string {
	organization, own, ok := strings.Cut(name, "/")
	if !ok {
		return append([]string{noun, name}, rest...)
	}
	return append([]string{noun + inOrganization(organization), own}, rest...)
}

// inOrganization is a query that names an organization, or none.
func inOrganization(name string) string {
	if name == "" {
		return ""
	}
	return "?" + url.Values{"organization": {name}}.Encode()
}

// isLabel reports whether s is a DNS label, in any case.
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}

// Ref is how the caller names the workspace: by its name if it is theirs, else with
// its owner's.
func (w Workspace) Ref() string {
	if w.Shared == "" {
		return w.Name
	}
	return w.Owner + "/" + w.Name
}

// Agent returns the agent of w that n names: the only one if it names none.
func (w Workspace) Agent(n WorkspaceName) (Agent, error) {
	if n.Agent == "" && len(w.Agents) == 1 {
		return w.Agents[0], nil
	}
	names := make([]string, 0, len(w.Agents))
	for _, a := range w.Agents {
		if strings.EqualFold(a.Name, n.Agent) {
			return a, nil
		}
		names = append(names, w.Ref()+"."+a.Name)
	}
	if len(names) == 0 {
		return Agent{}, fmt.Errorf("workspace %s has no agent", w.Ref())
	}
	return Agent{}, fmt.Errorf("workspace %s: name one of its agents: %s", w.Ref(), strings.Join(names, ", "))
}

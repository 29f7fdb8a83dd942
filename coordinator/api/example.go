package api

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// exampleOf are values of properties and parameters that say what they are for,
// by name. Others follow from their types.
var exampleOf = map[string]any{
	"username": "alice", "owner": "alice", "created_by": "alice", "initiator": "alice", "client": "alice",
	"email": "alice@example.com", "password": "correct horse battery staple", "role": "member",
	"name": "dev", "user": "root", "organization": "default", "group": "dev", "template": "process", "agent": "main", "workspace": "dev",
	"number": 1, "limit": 100, "q": "name:dev", "cursor": "", "after": 0,
	"address": "fdad:17:ad17::1", "version": "v1.0.0", "terraform_version": "1.9.8", "os": "linux", "arch": "amd64",
	"agent_command": "adit agent --url https://adit.example.com --token adit_agent_…", "agent_token": "adit_agent_…",
	"token": "adit_…", "key": "adit_provisioner_…", "archive": "H4sIAAAAAAAA", "digest": strings.Repeat("ab", 32),
	"state": "eyJ2ZXJzaW9uIjo0fQ==", "id": "8f14e45f-ceea-467a-9a36-dedd4bea2543",
}

// exampler makes examples of schemas.
type exampler struct{ schemas map[string]*huma.Schema }

// of is an example of a schema, that of a property if it has a name. It is valid:
// a test sees to that.
func (e exampler) of(s *huma.Schema, name string) any { return e.at(s, name, 0) }

// maxDepth is how deep an example goes: no type of ours holds itself, and one that
// does is still to be written.
const maxDepth = 8

func (e exampler) at(s *huma.Schema, name string, depth int) any {
	if s == nil || depth > maxDepth {
		return nil
	}
	if s.Ref != "" {
		return e.at(e.schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]], name, depth)
	}
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}
	if s.Default != nil {
		return s.Default
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	known, ok := exampleOf[name]
	switch s.Type {
	case "object":
		return e.object(s, depth)
	case "array":
		return []any{e.at(s.Items, name, depth+1)}
	case "boolean":
		return false
	case "integer":
		if n, number := known.(int); ok && number {
			return n
		}
		return int(least(s))
	case "number":
		return least(s)
	}
	if text, is := known.(string); ok && is {
		return text
	}
	return text(s)
}

func (e exampler) object(s *huma.Schema, depth int) any {
	out := make(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[key]
		// What may be left out is shown unless it would be another object: those
		// make examples long, and say nothing that their schema does not.
		if p.Ref != "" && depth > 1 && !slices.Contains(s.Required, key) {
			continue
		}
		out[key] = e.at(p, key, depth+1)
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		out["zone"] = e.at(values, "", depth+1)
	}
	return out
}

func least(s *huma.Schema) float64 {
	if s.Minimum != nil {
		return max(*s.Minimum, 0)
	}
	return 0
}

func text(s *huma.Schema) string {
	switch s.Format {
	case "date-time":
		return "2026-01-02T03:04:05Z"
	case "uuid":
		return "8f14e45f-ceea-467a-9a36-dedd4bea2543"
	case "uri":
		return "https://adit.example.com"
	case "email":
		return "alice@example.com"
	case "ipv4":
		return "192.0.2.1"
	case "ipv6":
		return "2001:db8::1"
	}
	if s.ContentEncoding == "base64" {
		return "aGVsbG8="
	}
	return "text"
}

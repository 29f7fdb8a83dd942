package task

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader walks through a YAML document and notes what is wrong with it.
type reader struct {
	file     string
	warnings []Warning
}

func (r *reader) warn(line int, format string, args ...any) {
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, Warning{r.file, line, fmt.Sprintf(format, args...)})
	}
}

// errorLine is how the parser says where.
var errorLine = regexp.MustCompile(`line (\d+): `)

// document returns the mapping that a file is; nil if it is none.
func (r *reader) document(text []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		line, say := 0, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := errorLine.FindStringSubmatch(say); m != nil {
			line, _ = strconv.Atoi(m[1])
			say = strings.Replace(say, m[0], "", 1)
		}
		var many *yaml.TypeError
		if errors.As(err, &many) {
			say = strings.Join(many.Errors, "; ")
		}
		r.warn(line, "it is no YAML: %s; nothing of it is used", say)
		return nil
	}
	if len(doc.Content) == 0 {
		return nil // empty, or comments
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.warn(root.Line, "want names with values, got %s; nothing of it is used", kindOf(root))
		return nil
	}
	return root
}

// field is a name of a mapping and what it has to be.
type field struct {
	name  string
	value *yaml.Node
	line  int
}

// fields lists a mapping's, each once. Whoever wrote it may use aliases, which are
// not followed: what is written here is short, and an alias can stand for anything.
func (r *reader) fields(n *yaml.Node, what string) []field {
	if n.Kind != yaml.MappingNode {
		r.warn(n.Line, "%s: want names with values, got %s", what, kindOf(n))
		return nil
	}
	var list []field
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			r.warn(k.Line, "%s: want a name, got %s", what, kindOf(k))
		case v.Kind == yaml.AliasNode:
			r.warn(v.Line, "%s: %s is an alias; write out what it stands for", what, k.Value)
		case seen[k.Value]:
			r.warn(k.Line, "%s: %s is there twice; the first counts", what, k.Value)
		default:
			seen[k.Value] = true
			list = append(list, field{k.Value, v, k.Line})
		}
	}
	return list
}

// items lists a sequence's, of which there may be max.
func (r *reader) items(n *yaml.Node, what string, max int) []*yaml.Node {
	switch {
	case isNull(n):
		return nil
	case n.Kind != yaml.SequenceNode:
		r.warn(n.Line, "%s: want a list, got %s", what, kindOf(n))
		return nil
	case len(n.Content) > max:
		r.warn(n.Content[max].Line, "%s: there are %d, and at most %d are used", what, len(n.Content), max)
		return n.Content[:max]
	}
	return n.Content
}

// text reads a text of up to max bytes, and reports whether it is one.
func (r *reader) text(n *yaml.Node, what string, max int) (string, bool) {
	switch {
	case isNull(n):
		return "", true
	case n.Kind != yaml.ScalarNode:
		r.warn(n.Line, "%s: want text, got %s", what, kindOf(n))
	case len(n.Value) > max:
		r.warn(n.Line, "%s: %d bytes, and at most %d are allowed", what, len(n.Value), max)
	case strings.ContainsRune(n.Value, 0):
		r.warn(n.Line, "%s: it has a NUL in it", what)
	default:
		return n.Value, true
	}
	return "", false
}

// choice reads one of some texts.
func (r *reader) choice(n *yaml.Node, what string, values ...string) (string, bool) {
	text, ok := r.text(n, what, maxName)
	if !ok {
		return "", false
	}
	for _, v := range values {
		if text == v {
			return text, true
		}
	}
	r.warn(n.Line, "%s: %.40q is none of %s", what, text, strings.Join(values, ", "))
	return "", false
}

// envName is what a variable may be called.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// maxName bounds names.
const maxName = 100

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "names with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if isNull(n) {
		return "nothing"
	}
	return fmt.Sprintf("%.40q", n.Value)
}

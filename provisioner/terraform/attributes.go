package terraform

import (
	"encoding/json"
	"iter"
	"strconv"

	tfjson "github.com/hashicorp/terraform-json"
)

// attributes are the values of a resource or of a block in it. What is missing,
// unknown or of another type reads as its zero value.
type attributes map[string]any

func (a attributes) text(name string) string {
	switch v := a[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

func (a attributes) yes(name string) bool { b, _ := a[name].(bool); return b }

func (a attributes) number(name string) float64 {
	switch v := a[name].(type) {
	case float64:
		return v
	case json.Number:
		f, _ := v.Float64()
		return f
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return f
	}
	return 0
}

// seconds is a number that cannot be less than nothing.
func (a attributes) seconds(name string) uint32 { return uint32(max(a.number(name), 0)) }

func (a attributes) texts(name string) map[string]string {
	m, _ := a[name].(map[string]any)
	if len(m) == 0 {
		return nil
	}
	texts := make(map[string]string, len(m))
	for k := range m {
		texts[k] = attributes(m).text(k)
	}
	return texts
}

// list is a list of texts; what is not known yet is left out.
func (a attributes) list(name string) (texts []string) {
	items, _ := a[name].([]any)
	for _, item := range items {
		if s, ok := item.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// blocks are the blocks of a name: a list of them, or one.
func (a attributes) blocks(name string) []attributes {
	switch v := a[name].(type) {
	case map[string]any:
		return []attributes{v}
	case []any:
		var all []attributes
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				all = append(all, m)
			}
		}
		return all
	}
	return nil
}

// everyResource walks a module and those within it.
func everyResource(m *tfjson.StateModule) iter.Seq[*tfjson.StateResource] {
	return func(yield func(*tfjson.StateResource) bool) { walk(m, yield) }
}

func walk(m *tfjson.StateModule, yield func(*tfjson.StateResource) bool) bool {
	if m == nil {
		return true
	}
	for _, r := range m.Resources {
		if !yield(r) {
			return false
		}
	}
	for _, child := range m.ChildModules {
		if !walk(child, yield) {
			return false
		}
	}
	return true
}

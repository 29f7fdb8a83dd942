package tfprovider

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
)

var parameterTypes = []string{"string", "number", "bool", "list(string)"}

// problem is something wrong with an attribute.
type problem struct {
	at              path.Path
	summary, detail string
}

// problems are what is wrong with the declaration.
func (m *parameterModel) problems() []problem {
	var all []problem
	add := func(at path.Path, summary, format string, a ...any) {
		all = append(all, problem{at, summary, fmt.Sprintf(format, a...)})
	}
	if v := m.Validation; v != nil {
		at := path.Root("validation")
		kind := m.kind()
		if !v.Regex.IsNull() {
			if _, err := regexp.Compile(v.Regex.ValueString()); err != nil {
				add(at.AtName("regex"), "Not a regular expression", "%v", err)
			} else if kind != "string" {
				add(at.AtName("regex"), "A regular expression for no string", "The parameter's type is %s; only strings are matched.", kind)
			}
		}
		for _, bound := range []struct {
			name string
			set  bool
		}{{"min", !v.Min.IsNull()}, {"max", !v.Max.IsNull()}} {
			if bound.set && kind != "number" {
				add(at.AtName(bound.name), "A bound for no number", "The parameter's type is %s; only numbers are compared.", kind)
			}
		}
		if !v.Min.IsNull() && !v.Max.IsNull() && v.Min.ValueFloat64() > v.Max.ValueFloat64() {
			add(at.AtName("min"), "No number fits", "The least, %v, is more than the most, %v.", v.Min.ValueFloat64(), v.Max.ValueFloat64())
		}
	}
	seen := make(map[string]bool)
	for i, o := range m.Options {
		value, at := o.Value.ValueString(), path.Root("option").AtListIndex(i).AtName("value")
		if seen[value] {
			add(at, "Two options with one value", "Another option has the value %q too.", value)
		}
		seen[value] = true
		if why := m.isOfElementType(value); why != "" {
			add(at, "Option of another type", "%s.", why)
		}
	}
	if len(all) == 0 && !m.Default.IsNull() {
		if p := m.rejects(m.Default.ValueString(), path.Root("default")); p != nil {
			p.summary = "Default of parameter " + m.Name.ValueString() + " is not accepted"
			p.at = path.Root("default")
			all = append(all, *p)
		}
	}
	return all
}

func (m *parameterModel) kind() string { return cmp.Or(m.Type.ValueString(), "string") }

// rejects says why a value is none, or returns nil. The problem is at the
// attribute that forbids the value, or where that cannot be said at the given.
func (m *parameterModel) rejects(value string, at path.Path) *problem {
	elements := []string{value}
	if m.kind() == "list(string)" {
		if json.Unmarshal([]byte(value), &elements) != nil || elements == nil {
			return &problem{at, "", fmt.Sprintf("%q is no list of strings: write it as JSON, [\"a\",\"b\"].", value)}
		}
	}
	for _, e := range elements {
		if why := m.isOfElementType(e); why != "" {
			return &problem{at, "", why + "."}
		}
		if len(m.Options) > 0 && !slices.ContainsFunc(m.Options, func(o optionModel) bool { return o.Value.ValueString() == e }) {
			var values []string
			for _, o := range m.Options {
				values = append(values, strconv.Quote(o.Value.ValueString()))
			}
			return &problem{path.Root("option"), "", fmt.Sprintf("%q is not among the options: %s.", e, strings.Join(values, ", "))}
		}
	}
	v := m.Validation
	if v == nil {
		return nil
	}
	rule := path.Root("validation")
	if !v.Regex.IsNull() {
		if re, err := regexp.Compile(v.Regex.ValueString()); err == nil && !re.MatchString(value) {
			return &problem{rule.AtName("regex"), "", fmt.Sprintf("%q: %s.", value,
				strings.TrimSuffix(cmp.Or(v.Error.ValueString(), "it does not match "+v.Regex.ValueString()), "."))}
		}
	}
	number, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil:
	case !v.Min.IsNull() && number < v.Min.ValueFloat64():
		return &problem{rule.AtName("min"), "", fmt.Sprintf("%s is less than %v.", value, v.Min.ValueFloat64())}
	case !v.Max.IsNull() && number > v.Max.ValueFloat64():
		return &problem{rule.AtName("max"), "", fmt.Sprintf("%s is more than %v.", value, v.Max.ValueFloat64())}
	}
	return nil
}

// isOfElementType says why a value, or an element of a list, is of another type;
// "" if it is not.
func (m *parameterModel) isOfElementType(value string) string {
	switch m.kind() {
	case "number":
		if n, err := strconv.ParseFloat(value, 64); err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return fmt.Sprintf("%q is no number", value)
		}
	case "bool":
		if value != "true" && value != "false" {
			return fmt.Sprintf("%q is neither true nor false", value)
		}
	}
	return ""
}

// placeholder stands for a value while a template is looked at.
func (m *parameterModel) placeholder() string {
	switch kind := m.kind(); {
	case kind == "list(string)":
		return "[]"
	case len(m.Options) > 0:
		return m.Options[0].Value.ValueString()
	case kind == "bool":
		return "false"
	case kind == "number":
		if v := m.Validation; v != nil && !v.Min.IsNull() {
			return strconv.FormatFloat(v.Min.ValueFloat64(), 'f', -1, 64)
		}
		return "0"
	}
	return ""
}

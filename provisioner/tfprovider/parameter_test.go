package tfprovider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

func options(values ...string) (all []optionModel) {
	for _, v := range values {
		all = append(all, optionModel{Name: types.StringValue(v), Value: types.StringValue(v)})
	}
	return all
}

func TestParameterAcceptsWhatItsRulesSay(t *testing.T) {
	word := &parameterRules{Regex: types.StringValue("^[a-z]+$"), Error: types.StringValue("lower-case letters only")}
	size := &parameterRules{Min: types.Float64Value(1), Max: types.Float64Value(8)}
	for _, c := range []struct {
		kind    string
		options []optionModel
		rules   *parameterRules
		value   string
		at      string // empty: accepted
	}{
		{"string", nil, nil, "any thing", ""},
		{"string", nil, word, "abc", ""},
		{"string", nil, word, "a1", "validation.regex"},
		{"string", options("eu", "us"), nil, "us", ""},
		{"string", options("eu", "us"), nil, "mars", "option"},
		{"number", nil, size, "2.5", ""},
		{"number", nil, size, "0", "validation.min"},
		{"number", nil, size, "9", "validation.max"},
		{"number", nil, nil, "many", "name"},
		{"number", nil, nil, "NaN", "name"},
		{"number", nil, nil, "Inf", "name"},
		{"bool", nil, nil, "true", ""},
		{"bool", nil, nil, "yes", "name"},
		{"list(string)", nil, nil, `["a","b"]`, ""},
		{"list(string)", nil, nil, `[]`, ""},
		{"list(string)", nil, nil, `[1]`, "name"},
		{"list(string)", nil, nil, `null`, "name"},
		{"list(string)", nil, nil, `a,b`, "name"},
		{"list(string)", options("a", "b"), nil, `["a","c"]`, "option"},
	} {
		m := parameterModel{Name: types.StringValue("p"), Type: types.StringValue(c.kind), Options: c.options, Validation: c.rules}
		if problems := m.problems(); len(problems) > 0 {
			t.Errorf("%s %v: the declaration is wrong: %v", c.kind, c.rules, problems)
		}
		s := &Session{build: &provisionerv1.Build{Parameters: map[string]string{"p": c.value}}}
		problems := m.settle(s)
		switch {
		case c.at == "" && (len(problems) > 0 || m.Value.ValueString() != c.value):
			t.Errorf("%s %q: got %s, %v", c.kind, c.value, m.Value, problems)
		case c.at != "" && (len(problems) != 1 || problems[0].at.String() != c.at || !strings.Contains(problems[0].summary, "parameter p")):
			t.Errorf("%s %q: got %v, want a problem at %s", c.kind, c.value, problems, c.at)
		}
	}
}

func TestParameterWithoutValue(t *testing.T) {
	build := &Session{build: &provisionerv1.Build{}}
	importing := &Session{build: imported(), importing: true}
	for _, c := range []struct {
		m    parameterModel
		want string
	}{
		{parameterModel{}, ""},
		{parameterModel{Type: types.StringValue("number"), Validation: &parameterRules{Min: types.Float64Value(2)}}, "2"},
		{parameterModel{Type: types.StringValue("number")}, "0"},
		{parameterModel{Type: types.StringValue("bool")}, "false"},
		{parameterModel{Type: types.StringValue("list(string)"), Options: options("a")}, "[]"},
		{parameterModel{Options: options("eu", "us")}, "eu"},
	} {
		if problems := c.m.settle(build); len(problems) != 1 {
			t.Errorf("%v in a build: %v, want one problem", c.m.Type, problems)
		}
		if problems := c.m.settle(importing); len(problems) > 0 || c.m.Value.ValueString() != c.want {
			t.Errorf("%v in an import: %s, %v; want %q", c.m.Type, c.m.Value, problems, c.want)
		}
		c.m.Default = types.StringValue("default")
		if problems := c.m.settle(build); len(problems) > 0 || c.m.Value.ValueString() != "default" {
			t.Errorf("%v with a default: %s, %v", c.m.Type, c.m.Value, problems)
		}
	}
}

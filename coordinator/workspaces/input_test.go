package workspaces

import (
	"errors"
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// What else an archive may not be is pkg/archive's to say.
func TestArchivesThatAreRefused(t *testing.T) {
	for what, bad := range map[string][]byte{
		"not packed": []byte("resource {}"), "upwards": packed(t, "main.tf", "x", "a/../../x", "x"), "large": make([]byte, MaxArchive+1),
	} {
		if err := checkArchive(bad); !errors.As(err, new(*BadInput)) {
			t.Errorf("%s: %v, want a *BadInput", what, err)
		}
	}
	must(t, checkArchive(packed(t, "./main.tf", "x", "modules/a/main.tf", "x")))
}

func TestParameters(t *testing.T) {
	three, eight := 3.0, 8.0
	params := []*provisionerv1.Parameter{
		{Name: "region", Type: "string", Required: true, Options: []*provisionerv1.Option{{Value: "eu"}, {Value: "us"}}},
		{Name: "cpu", Type: "number", Default: "4", Mutable: true, Min: &three, Max: &eight},
		{Name: "gpu", Type: "bool", Default: "false", Mutable: true},
		{Name: "image", Type: "string", Default: "debian", Mutable: true, Pattern: "^[a-z]+$", PatternError: "an image is lower-case letters"},
		{Name: "tools", Type: "list(string)", Default: "[]", Mutable: true},
	}
	before := map[string]string{"region": "eu", "cpu": "8"}
	for what, c := range map[string]struct {
		before, given map[string]string
		says          string // "" if it is good
	}{
		"all there":      {nil, map[string]string{"region": "eu"}, ""},
		"missing":        {nil, nil, "parameter region has no value; give it one with --parameter region=VALUE"},
		"kept":           {before, nil, ""},
		"changed":        {before, map[string]string{"cpu": "3"}, ""},
		"immutable":      {before, map[string]string{"region": "us"}, `parameter region is "eu" and cannot be changed`},
		"same again":     {before, map[string]string{"region": "eu"}, ""},
		"no option":      {nil, map[string]string{"region": "moon"}, `parameter region: "moon" is none of eu, us`},
		"no number":      {before, map[string]string{"cpu": "many"}, `"many" is no number`},
		"too few":        {before, map[string]string{"cpu": "2"}, "2 is less than 3"},
		"too many":       {before, map[string]string{"cpu": "9"}, "9 is more than 8"},
		"neither":        {before, map[string]string{"gpu": "yes"}, `"yes" is neither true nor false`},
		"pattern":        {before, map[string]string{"image": "X"}, "an image is lower-case letters"},
		"no list":        {before, map[string]string{"tools": "vim"}, `"vim" is no JSON list of strings`},
		"list":           {before, map[string]string{"tools": `["vim"]`}, ""},
		"unknown":        {before, map[string]string{"colour": "red"}, "the template has no parameter colour"},
		"two at a time":  {nil, map[string]string{"cpu": "9"}, "9 is more than 8; parameter region has no value"},
		"gone from file": {map[string]string{"region": "eu", "old": "1"}, nil, ""},
	} {
		values, err := resolve(params, c.before, c.given)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.says == "" && (len(values) != len(params) || values["region"] != "eu"):
			t.Errorf("%s: %v", what, values)
		case c.says != "" && (!errors.As(err, new(*BadInput)) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want one that says %q", what, err, c.says)
		}
	}
}

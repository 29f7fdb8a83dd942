package workspaces

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// maxParameter bounds a value in bytes.
const maxParameter = 16 << 10

// resolve returns the values of a build's parameters: those given, else those
// of the build before, else the defaults. before is nil for the first build. A
// *BadInput names everything that is wrong.
func resolve(params []*provisionerv1.Parameter, before, given map[string]string) (map[string]string, error) {
	var wrong []string
	values := make(map[string]string)
	known := make(map[string]bool)
	for _, p := range params {
		name := p.GetName()
		known[name] = true
		old, had := before[name]
		v, isGiven := given[name]
		switch {
		case isGiven && had && !p.GetMutable() && v != old:
			wrong = append(wrong, fmt.Sprintf("parameter %s is %q and cannot be changed once the workspace is made", name, old))
			continue
		case isGiven:
		case had:
			v = old
		case p.GetRequired():
			wrong = append(wrong, fmt.Sprintf("parameter %s has no value; give it one with --parameter %s=VALUE", name, name))
			continue
		default:
			v = p.GetDefault()
		}
		if why := invalid(p, v); why != "" && (isGiven || had) {
			wrong = append(wrong, fmt.Sprintf("parameter %s: %s", name, why))
			continue
		}
		values[name] = v
	}
	for name := range given {
		if !known[name] {
			wrong = append(wrong, fmt.Sprintf("the template has no parameter %.60s", name))
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return nil, badInput("%s", strings.Join(wrong, "; "))
	}
	return values, nil
}

// invalid says what is wrong with a parameter's value; "" if nothing is.
func invalid(p *provisionerv1.Parameter, v string) string {
	if len(v) > maxParameter {
		return fmt.Sprintf("its value is longer than %d KiB", maxParameter>>10)
	}
	if strings.ContainsRune(v, 0) {
		return "its value has a NUL"
	}
	switch p.GetType() {
	case "number":
		n, err := strconv.ParseFloat(v, 64)
		switch {
		case err != nil:
			return fmt.Sprintf("%.60q is no number", v)
		case p.Min != nil && n < p.GetMin():
			return fmt.Sprintf("%s is less than %v", v, p.GetMin())
		case p.Max != nil && n > p.GetMax():
			return fmt.Sprintf("%s is more than %v", v, p.GetMax())
		}
	case "bool":
		if v != "true" && v != "false" {
			return fmt.Sprintf("%.60q is neither true nor false", v)
		}
	case "list(string)":
		var list []string
		if json.Unmarshal([]byte(v), &list) != nil {
			return fmt.Sprintf("%.60q is no JSON list of strings", v)
		}
	}
	if len(p.GetOptions()) > 0 {
		var options []string
		for _, o := range p.GetOptions() {
			if o.GetValue() == v {
				return ""
			}
			options = append(options, o.GetValue())
		}
		return fmt.Sprintf("%.60q is none of %s", v, strings.Join(options, ", "))
	}
	if p.GetPattern() != "" {
		re, err := regexp.Compile(p.GetPattern())
		if err != nil {
			return fmt.Sprintf("the template's pattern is no regular expression: %v", err)
		}
		if !re.MatchString(v) {
			if p.GetPatternError() != "" {
				return p.GetPatternError()
			}
			return fmt.Sprintf("%.60q does not match %s", v, p.GetPattern())
		}
	}
	return ""
}

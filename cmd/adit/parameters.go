package main

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/sdk"
)

// pairs reads values of a flag that are NAME=VALUE.
func pairs(flag string, texts []string) (map[string]string, error) {
	m := make(map[string]string, len(texts))
	for _, text := range texts {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return nil, usagef("--%s %q: want NAME=VALUE", flag, text)
		}
		if _, twice := m[k]; twice {
			return nil, usagef("--%s %s is there twice", flag, k)
		}
		m[k] = v
	}
	return m, nil
}

// fill completes the values given for a template's parameters: those that are
// missing are asked for on a terminal. Kept are names that have a value already.
func (a *app) fill(v sdk.TemplateVersion, given map[string]string, kept map[string]string) error {
	known := make(map[string]bool, len(v.Parameters))
	for _, p := range v.Parameters {
		known[p.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			return usagef("the template has no parameter %s; it has: %s", name, parameterNames(v.Parameters))
		}
	}
	var missing []string
	p := prompter{in: bufio.NewReader(a.in), out: a.err, terminal: isTerminal(a.in)}
	for _, param := range v.Parameters {
		_, has := given[param.Name]
		if _, had := kept[param.Name]; has || had || !param.Required {
			continue
		}
		if !p.terminal {
			missing = append(missing, fmt.Sprintf("--parameter %s=%s", param.Name, placeholder(param)))
			continue
		}
		value, err := askParameter(&p, param)
		if err != nil {
			return err
		}
		given[param.Name] = value
	}
	if len(missing) > 0 {
		return usagef("the template asks for more: add %s", strings.Join(missing, " "))
	}
	return nil
}

func parameterNames(list []sdk.Parameter) string {
	if len(list) == 0 {
		return "none"
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// placeholder stands for a value of a parameter.
func placeholder(p sdk.Parameter) string {
	if len(p.Options) == 0 {
		return strings.ToUpper(p.Type)
	}
	var values []string
	for _, o := range p.Options {
		values = append(values, o.Value)
	}
	return strings.Join(values, "|")
}

// askParameter asks until it has an answer. The coordinator checks it.
func askParameter(p *prompter, param sdk.Parameter) (string, error) {
	name := param.DisplayName
	if name == "" {
		name = param.Name
	}
	if param.Description != "" {
		fmt.Fprintf(p.out, "%s: %s\n", name, oneLine(param.Description))
	}
	for i, o := range param.Options {
		fmt.Fprintf(p.out, "  %d) %s\n", i+1, oneLine(optionText(o)))
	}
	for {
		answer, err := p.line(fmt.Sprintf("%s (%s): ", name, param.Type))
		if err != nil {
			return "", err
		}
		if value, ok := choose(param, answer); ok {
			return value, nil
		}
	}
}

func optionText(o sdk.Option) string {
	text := o.Value
	if o.Name != "" && o.Name != o.Value {
		text = o.Name + " (" + o.Value + ")"
	}
	if o.Description != "" {
		text += ": " + o.Description
	}
	return text
}

// choose reads an answer: an option's number, name or value, where there are
// options; any text, where there are none.
func choose(param sdk.Parameter, answer string) (string, bool) {
	if len(param.Options) == 0 {
		return answer, answer != ""
	}
	for _, o := range param.Options { // a value may look like a number
		if answer == o.Value || strings.EqualFold(answer, o.Name) {
			return o.Value, true
		}
	}
	for i, o := range param.Options {
		if answer == fmt.Sprint(i+1) {
			return o.Value, true
		}
	}
	return "", false
}

// errNotDone is what a person who was asked did not want.
var errNotDone = errors.New("not done")

// confirm asks for a yes, on a terminal and unless it was given.
func (a *app) confirm(yes bool, question string) error {
	if yes || !isTerminal(a.in) {
		return nil
	}
	p := prompter{in: bufio.NewReader(a.in), out: a.err, terminal: true}
	answer, err := p.line(question + " [y/N] ")
	if err != nil {
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errNotDone
	}
	return nil
}

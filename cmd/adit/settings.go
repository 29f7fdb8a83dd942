package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// flagsFromEnv sets each flag that the command line left out from its
// environment variable: with the prefix ADIT_, ADIT_DATA_DIR for --data-dir.
func flagsFromEnv(flags *pflag.FlagSet, prefix string) error {
	var errs error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(prefix, f.Name)
		if v := os.Getenv(name); v != "" && !f.Changed {
			if err := flags.Set(f.Name, v); err != nil {
				errs = errors.Join(errs, usagef("%s=%q: %w", name, v, err))
			}
		}
	})
	return errs
}

// variable is the environment variable of a flag.
func variable(prefix, flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// flagsFromFile sets flags that neither the command line nor the environment set, which
// taken tells, from a YAML file of flags' names and values. A list is a flag given
// several times.
func flagsFromFile(flags *pflag.FlagSet, file string, taken func(flag string) bool) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var settings map[string]yaml.Node
	if err := yaml.Unmarshal(raw, &settings); err != nil {
		return usagef("--config %s: want lines such as 'listen: \":443\"': %w", file, err)
	}
	var errs error
	for name, node := range settings {
		bad := func(err error) { errs = errors.Join(errs, usagef("%s:%d: %s: %w", file, node.Line, name, err)) }
		f := flags.Lookup(name)
		if f == nil || name == "config" || name == "help" {
			bad(errors.New("there is no such setting; they are named as the flags are"))
			continue
		}
		if f.Changed || taken(name) {
			continue
		}
		values := []*yaml.Node{&node}
		if node.Kind == yaml.SequenceNode {
			values = node.Content
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode {
				bad(errors.New("want a value, or a list of values"))
				break
			}
			if err := flags.Set(name, v.Value); err != nil {
				bad(err)
				break
			}
		}
	}
	return errs
}

package task

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/sdk"
)

// marks is where it is noted, within a clone, which tasks have had their init. It
// goes with the clone, as what an init makes does.
const marks = ".git/adit"

// Scripts are the tasks as scripts that run in a clone: for each one what has to be
// done before people work, and a service for what goes on. Names begin with prefix.
func (f Found) Scripts(dir, prefix string) []sdk.Script {
	var list []sdk.Script
	last := make(map[string]string) // the last script of a task
	for _, t := range f.Tasks {
		name := prefix + t.Name
		var after []string
		if t.After != "" {
			after = []string{last[t.After]}
		}
		mark := filepath.Join(dir, marks, hash(t.Name))
		_, err := os.Stat(mark)
		init := t.Init != "" && err != nil
		last[t.Name] = name
		if init || t.Command == "" {
			s := sdk.Script{Name: name, RunOn: "start", RunAfter: after}
			parts := []string{t.Before}
			if init {
				parts = append(parts, t.Init)
			}
			s.Script = t.shell(dir, parts...)
			if init {
				s.Script += " && mkdir -p " + quoted(filepath.Dir(mark)) + " && : > " + quoted(mark) + "\n"
			}
			list = append(list, s)
			if t.Command == "" {
				continue
			}
			after = []string{name}
			name += ": command"
			last[t.Name] = name
		}
		// What before sets is for the command, too, and this is another shell.
		list = append(list, sdk.Script{Name: name, RunOn: "start", RunAfter: after, Service: true, Script: t.shell(dir, t.Before, t.Command)})
	}
	return list
}

// shell writes a script that runs texts one after the other in one shell, each if
// those before it succeeded.
func (t Task) shell(dir string, parts ...string) string {
	var b strings.Builder
	interpreter := "bash"
	if _, err := os.Stat("/bin/bash"); err != nil {
		interpreter = "sh"
	}
	b.WriteString("#!/usr/bin/env " + interpreter + "\n")
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		b.WriteString("export " + name + "=" + quoted(t.Env[name]) + "\n")
	}
	b.WriteString("cd " + quoted(filepath.Join(dir, t.Dir)))
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			b.WriteString(" && {\n" + strings.TrimRight(p, "\n") + "\n}")
		}
	}
	return b.String()
}

// quoted is a text as a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "init-" + hex.EncodeToString(sum[:8])
}

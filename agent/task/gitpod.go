package task

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readGitpod reads a .gitpod.yml: its tasks and ports. What else such a file may
// say is for another platform, and no fault.
func readGitpod(file string, text []byte) Found {
	r := &reader{file: file}
	found := Found{File: file}
	if root := r.document(text); root != nil {
		for _, f := range r.fields(root, "the file") {
			switch f.name {
			case "tasks":
				for i, n := range r.items(f.value, "tasks", maxTasks) {
					if t, ok := r.gitpodTask(n, i); ok {
						found.Tasks = append(found.Tasks, t)
					}
				}
			case "ports":
				for _, n := range r.items(f.value, "ports", maxPorts) {
					if p, ok := r.gitpodPort(n); ok {
						found.Ports = append(found.Ports, p)
					}
				}
			}
		}
	}
	found.Tasks = unique(found.Tasks)
	found.Warnings = r.warnings
	return found
}

// gitpodTask reads a task. One that is not as it should be is left out: half of its
// commands may do harm without the other half.
func (r *reader) gitpodTask(n *yaml.Node, i int) (Task, bool) {
	what := fmt.Sprintf("task %d", i+1)
	t, before := Task{}, len(r.warnings)
	for _, f := range r.fields(n, what) {
		switch f.name {
		case "name":
			t.Name, _ = r.text(f.value, what+", name", maxName)
		case "before":
			t.Before, _ = r.text(f.value, what+", before", maxCommand)
		case "init":
			t.Init, _ = r.text(f.value, what+", init", maxCommand)
		case "command":
			t.Command, _ = r.text(f.value, what+", command", maxCommand)
		case "env":
			t.Env = r.environment(f.value, what+", env")
		case "prebuild", "openIn", "openMode": // for another platform
		default:
			r.warn(f.line, "%s: there is no %.40q", what, f.name)
		}
	}
	if len(r.warnings) > before || len(r.warnings) == maxWarnings {
		r.warn(n.Line, "%s is left out", what)
		return t, false
	}
	if t.Name = strings.TrimSpace(t.Name); t.Name == "" {
		t.Name = what
	}
	return t, true
}

// environment reads names with texts.
func (r *reader) environment(n *yaml.Node, what string) map[string]string {
	env := make(map[string]string)
	for _, f := range r.fields(n, what) {
		if !envName.MatchString(f.name) {
			r.warn(f.line, "%s: %.40q is no name of a variable", what, f.name)
			continue
		}
		env[f.name], _ = r.text(f.value, what+" "+f.name, maxCommand)
	}
	return env
}

// gitpodPort reads a port with what is to happen when somebody listens on it.
func (r *reader) gitpodPort(n *yaml.Node) (p Port, ok bool) {
	for _, f := range r.fields(n, "port") {
		switch f.name {
		case "port":
			p.First, p.Last, ok = r.portRange(f.value)
		case "name":
			p.Name, _ = r.text(f.value, "port, name", maxName)
		case "onOpen":
			p.OnOpen, _ = r.choice(f.value, "port, onOpen", "notify", "open-browser", "open-preview", "ignore")
		case "visibility":
			p.Visibility, _ = r.choice(f.value, "port, visibility", "private", "public")
		case "protocol":
			p.Protocol, _ = r.choice(f.value, "port, protocol", "http", "https", "tcp")
		case "description":
		default:
			r.warn(f.line, "port: there is no %.40q", f.name)
		}
	}
	if !ok {
		r.warn(n.Line, "a port without a number is left out")
	}
	return p, ok
}

// portRange reads "8080" or "3000-3999".
func (r *reader) portRange(n *yaml.Node) (first, last uint16, ok bool) {
	text, ok := r.text(n, "port", maxName)
	if !ok {
		return 0, 0, false
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
	if errA != nil || errB != nil || a == 0 || b < a {
		r.warn(n.Line, "port %.40q: want one from 1 to 65535, or FIRST-LAST", text)
		return 0, 0, false
	}
	return uint16(a), uint16(b), true
}

// unique gives tasks with the same name names of their own.
func unique(tasks []Task) []Task {
	seen := make(map[string]int)
	for i := range tasks {
		name := tasks[i].Name
		if seen[name]++; seen[name] > 1 {
			tasks[i].Name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
	}
	return tasks
}

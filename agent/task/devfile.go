package task

import (
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readDevfile reads what a devfile of version 2 has that means something in a
// workspace that is there already: commands that run something, which of them run
// after the start, and endpoints. Components are made by the template.
func readDevfile(file string, text []byte) Found {
	r := &reader{file: file}
	found := Found{File: file}
	root := r.document(text)
	if root == nil {
		found.Warnings = r.warnings
		return found
	}
	d := &devfile{reader: r, commands: make(map[string]command)}
	var starts []*yaml.Node
	version := ""
	for _, f := range r.fields(root, "the file") {
		switch f.name {
		case "schemaVersion":
			version, _ = r.text(f.value, "schemaVersion", maxName)
		case "commands":
			for _, n := range r.items(f.value, "commands", maxTasks) {
				d.command(n)
			}
		case "events":
			for _, e := range r.fields(f.value, "events") {
				if e.name == "postStart" {
					starts = r.items(e.value, "events, postStart", maxTasks)
				}
			}
		case "components":
			for _, n := range r.items(f.value, "components", maxTasks) {
				found.Ports = append(found.Ports, d.endpoints(n)...)
			}
		}
	}
	if !strings.HasPrefix(version, "2.") {
		r.warn(root.Line, "schemaVersion %.20q: want 2.x; nothing of it is used", version)
		return Found{File: file, Warnings: r.warnings}
	}
	for _, n := range starts {
		if id, ok := r.text(n, "events, postStart", maxName); ok {
			found.Tasks = d.expand(found.Tasks, id, n.Line, 0)
		}
	}
	if len(found.Tasks) > maxTasks {
		r.warn(0, "postStart stands for %d commands, and at most %d are used", len(found.Tasks), maxTasks)
		found.Tasks = found.Tasks[:maxTasks]
	}
	found.Tasks = unique(found.Tasks)
	for i := 1; i < len(found.Tasks); i++ { // each waits for the one before it
		found.Tasks[i].After = found.Tasks[i-1].Name
	}
	if len(found.Ports) > maxPorts {
		r.warn(0, "there are %d endpoints, and at most %d are used", len(found.Ports), maxPorts)
		found.Ports = found.Ports[:maxPorts]
	}
	found.Warnings = r.warnings
	return found
}

type devfile struct {
	*reader
	commands map[string]command
}

// command is one that runs something, or a list of others.
type command struct {
	task  Task
	parts []string
}

func (d *devfile) command(n *yaml.Node) {
	var id string
	var c command
	usable := false
	before := len(d.warnings)
	for _, f := range d.fields(n, "command") {
		switch f.name {
		case "id":
			id, _ = d.text(f.value, "command, id", maxName)
		case "exec":
			usable = true
			for _, e := range d.fields(f.value, "exec") {
				switch e.name {
				case "commandLine":
					c.task.Before, _ = d.text(e.value, "commandLine", maxCommand)
				case "workingDir":
					c.task.Dir = d.workingDir(e.value)
				case "env":
					c.task.Env = d.environmentList(e.value)
				}
			}
		case "composite":
			usable = true
			for _, e := range d.fields(f.value, "composite") {
				if e.name == "commands" {
					for _, part := range d.items(e.value, "composite", maxTasks) {
						if name, ok := d.text(part, "composite", maxName); ok {
							c.parts = append(c.parts, name)
						}
					}
				}
			}
		}
	}
	if id == "" {
		d.warn(n.Line, "a command without an id is left out")
		return
	}
	if c.task.Name = id; !usable || len(d.warnings) > before {
		return // apply commands are for what makes components
	}
	d.commands[id] = c
}

// workingDir reads a directory below the repository.
func (d *devfile) workingDir(n *yaml.Node) string {
	text, _ := d.text(n, "workingDir", maxCommand)
	for _, source := range []string{"${PROJECT_SOURCE}", "${PROJECTS_ROOT}", "$PROJECT_SOURCE", "$PROJECTS_ROOT"} {
		if rest, ok := strings.CutPrefix(text, source); ok {
			text = rest
			break
		}
	}
	dir := strings.TrimPrefix(path.Clean("/"+text), "/")
	if strings.Contains(text, "..") || strings.Contains(text, "$") {
		d.warn(n.Line, "workingDir %.60q: want a directory of the repository", text)
	}
	return dir
}

// environmentList reads [{name, value}].
func (d *devfile) environmentList(n *yaml.Node) map[string]string {
	env := make(map[string]string)
	for _, item := range d.items(n, "env", maxTasks) {
		var name, value string
		for _, f := range d.fields(item, "env") {
			switch f.name {
			case "name":
				name, _ = d.text(f.value, "env, name", maxName)
			case "value":
				value, _ = d.text(f.value, "env, value", maxCommand)
			}
		}
		if !envName.MatchString(name) {
			d.warn(item.Line, "env: %.40q is no name of a variable", name)
			continue
		}
		env[name] = value
	}
	return env
}

// maxDepth bounds composites within composites.
const maxDepth = 4

// expand adds the commands that one stands for.
func (d *devfile) expand(tasks []Task, id string, line, depth int) []Task {
	c, ok := d.commands[id]
	switch {
	case !ok:
		d.warn(line, "there is no command %.40q that runs something", id)
		return tasks
	case depth > maxDepth || len(tasks) > maxTasks:
		d.warn(line, "command %.40q stands for too many others, or for itself", id)
		return tasks
	case c.parts == nil:
		return append(tasks, c.task)
	}
	for _, part := range c.parts {
		tasks = d.expand(tasks, part, line, depth+1)
	}
	return tasks
}

// endpoints reads the ports of a component.
func (d *devfile) endpoints(n *yaml.Node) (ports []Port) {
	for _, f := range d.fields(n, "component") {
		if f.name != "container" {
			continue
		}
		for _, c := range d.fields(f.value, "container") {
			if c.name != "endpoints" {
				continue
			}
			for _, e := range d.items(c.value, "endpoints", maxPorts) {
				if p, ok := d.endpoint(e); ok {
					ports = append(ports, p)
				}
			}
		}
	}
	return ports
}

func (d *devfile) endpoint(n *yaml.Node) (p Port, ok bool) {
	exposed := true
	for _, f := range d.fields(n, "endpoint") {
		switch f.name {
		case "name":
			p.Name, _ = d.text(f.value, "endpoint, name", maxName)
		case "targetPort":
			p.First, p.Last, ok = d.portRange(f.value)
		case "exposure":
			// "public" of a devfile is for whoever may use the workspace: nothing is
			// shown to strangers because a repository says so.
			exposure, _ := d.choice(f.value, "endpoint, exposure", "public", "internal", "none")
			exposed = exposure != "none"
		case "protocol":
			protocol, _ := d.choice(f.value, "endpoint, protocol", "http", "https", "ws", "wss", "tcp", "udp")
			p.Protocol = map[string]string{"ws": "http", "wss": "https", "udp": ""}[protocol]
			if p.Protocol == "" && protocol != "udp" {
				p.Protocol = protocol
			}
		}
	}
	if !ok {
		d.warn(n.Line, "%s without a targetPort is left out", fmt.Sprintf("endpoint %.40q", p.Name))
	}
	return p, ok && exposed
}

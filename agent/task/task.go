// Package task reads what a repository says about the workspace that works on it:
// its .gitpod.yml, or the part of a devfile.yaml that has a meaning here.
//
// [Load] reads a directory. It believes nothing: a file is bounded in every way, and
// what is wrong with it is a [Warning] with the line, beside whatever else of it can
// be used. [Found.Scripts] turns tasks into scripts for agent/script.
package task

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// maxFile bounds a file; those that people write have some 2 KiB.
	maxFile = 64 << 10

	// maxTasks and maxPorts bound lists, and maxCommand a text in them.
	maxTasks   = 32
	maxPorts   = 64
	maxCommand = 16 << 10

	// maxWarnings bounds what is said about a file; who mends the first will see
	// the others.
	maxWarnings = 20
)

// Warning is what is wrong with a file.
type Warning struct {
	File string
	// Line counts from 1; 0 is about the whole file.
	Line int
	Text string
}

func (w Warning) String() string {
	if w.Line == 0 {
		return w.File + ": " + w.Text
	}
	return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text)
}

// Task is something to do in the repository.
type Task struct {
	Name string
	// Before runs each time before the others, Init once a clone, and Command
	// goes on, if it wants to, until the workspace stops.
	Before, Init, Command string
	Env                   map[string]string
	// Dir is where it runs, below the repository.
	Dir string
	// After is the name of a task that has to succeed first; empty is none.
	After string
}

// Port is what is wanted of ports that something will listen on.
type Port struct {
	First, Last uint16
	Name        string
	// OnOpen is what a client does when somebody listens: "notify",
	// "open-browser", "open-preview" or "ignore"; empty is up to the client.
	OnOpen string
	// Visibility is "private" or "public"; empty is private.
	Visibility string
	// Protocol is "http", "https" or "tcp"; empty is to be found out.
	Protocol string
}

// Found is what a repository asks for.
type Found struct {
	// File is where it says so, below the repository; empty if nowhere.
	File     string
	Tasks    []Task
	Ports    []Port
	Warnings []Warning
}

// Load reads the file of a repository, the first that is there.
func Load(dir string) Found {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Found{Warnings: []Warning{{File: filepath.Base(dir), Text: err.Error()}}}
	}
	defer root.Close()
	for _, c := range []struct {
		name string
		read func(file string, text []byte) Found
	}{
		{".gitpod.yml", readGitpod}, {".gitpod.yaml", readGitpod}, {"devfile.yaml", readDevfile}, {".devfile.yaml", readDevfile},
	} {
		text, err := readBounded(root, c.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return Found{File: c.name, Warnings: []Warning{{File: c.name, Text: err.Error()}}}
		}
		return c.read(c.name, text)
	}
	return Found{}
}

// readBounded reads a file that may be anything, also a link out of the repository,
// which is refused.
func readBounded(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no file, but %s", info.Mode().Type())
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("it is longer than %d KiB", maxFile>>10)
	}
	return text, nil
}

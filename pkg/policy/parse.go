package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize bounds a file in bytes: some thousand rules, and each link costs a look at all.
const MaxSize = 256 << 10

// Policy is a file that was read.
type Policy struct {
	narrows  bool // there are rules
	rules    []rule
	links    []link
	placings []placing
	tests    []test
	given    given
}

// rule is about people, link about workspaces.
type rule struct {
	from  []people
	to    []workspaces
	ports []Ports
}

type link struct {
	from, to []workspaces
	ports    []Ports
}

// Problem is what is wrong at a line of a file.
type Problem struct {
	Line int
	Text string
}

func problemf(line int, format string, args ...any) Problem {
	return Problem{line, fmt.Sprintf(format, args...)}
}

func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Text) }

// Problems are all that is wrong with a file. As an error, they are a line each.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Read reads a file, YAML or JSON, and runs its tests. The error is Problems: all that is
// wrong with it, or the tests that fail.
func Read(text []byte) (*Policy, error) {
	p, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if failed := p.Test(); len(failed) > 0 {
		return nil, failed
	}
	return p, nil
}

// Parse is Read without the tests.
func Parse(text []byte) (*Policy, error) {
	if len(text) > MaxSize {
		return nil, Problems{problemf(1, "the file has %d bytes; at most %d are read", len(text), MaxSize)}
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, Problems{problemf(1, `the file is empty; write "links: []" for a policy that changes nothing`)}
	} else if err != nil {
		return nil, Problems{ofYAML(err)}
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, Problems{problemf(max(more.Line, 1), "a second document begins; take the --- out")}
	}
	r := &reader{}
	p := &Policy{}
	r.file(doc.Content[0], p)
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, r.problems
	}
	return p, nil
}

// ofYAML makes a problem of the parser's error, which has the line in its text.
func ofYAML(err error) Problem {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
	if n, _ := fmt.Sscanf(text, "line %d: ", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	return problemf(line, "this is no YAML: %s", text)
}

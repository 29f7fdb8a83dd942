package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// maxMessage is the longest message of Terraform that is read; of a longer
	// one the beginning is told. A planned change of 10,000 resources is said in
	// as many messages.
	maxMessage = 1 << 20

	// maxSaid is how much a command of Terraform may write. 20,000 resources take
	// less than a quarter of it, and a job's log keeps a fraction.
	maxSaid = 256 << 20

	// maxProblems is how many problems are kept: nobody reads more, and a
	// template can fail 10,000 times.
	maxProblems = 100
)

// errSaidTooMuch ends a command that writes without end.
var errSaidTooMuch = fmt.Errorf("it said more than %d MiB, of which a log keeps the beginning; Terraform was interrupted", maxSaid>>20)

// output takes what one command of Terraform writes: a JSON object a line.
type output struct {
	stage    string
	said     int
	tooMuch  func() // called when it is more than maxSaid
	log      func(*provisionerv1.Line) (more bool)
	enough   bool // log wants errors only
	problem  func(*provisionerv1.Problem)
	problems int
	// underway are the resources that are being made, changed or destroyed.
	underway map[string]bool

	line    []byte
	skipped bool // the rest of a line that is too long
}

func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	if o.said <= maxSaid && o.said+n > maxSaid {
		o.tooMuch()
	}
	o.said += n
	for {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		if room := maxMessage - len(o.line); len(line) > room {
			line, o.skipped = line[:room], true
		}
		o.line = append(o.line, line...)
		if !found {
			return n, nil
		}
		o.flush()
		p = rest
	}
}

// flush tells the line that is there.
func (o *output) flush() {
	if len(o.line) > 0 {
		o.message(o.line)
	}
	o.line, o.skipped = o.line[:0], false
}

// message is one message of Terraform's machine-readable interface.
type message struct {
	Level      string             `json:"@level"`
	Text       string             `json:"@message"`
	At         time.Time          `json:"@timestamp"`
	Type       string             `json:"type"`
	Diagnostic *tfjson.Diagnostic `json:"diagnostic"`
	Hook       struct {
		Action   string `json:"action"`
		Resource struct {
			Addr string `json:"addr"`
		} `json:"resource"`
	} `json:"hook"`
}

func (o *output) message(line []byte) {
	if o.enough && !bytes.Contains(line, []byte(`"type":"diagnostic"`)) && !bytes.Contains(line, []byte(`"type":"apply_`)) {
		return // gigabytes of it are not worth reading
	}
	var m message
	if json.Unmarshal(line, &m) != nil {
		// A wrapper script, or a crash.
		o.tell(time.Now(), provisionerv1.Line_INFO, string(line))
		return
	}
	if m.At.IsZero() {
		m.At = time.Now()
	}
	if m.Diagnostic != nil {
		o.diagnose(m.Diagnostic)
		return
	}
	switch m.Type {
	case "outputs":
		return // how many there are; nobody asked
	case "apply_start":
		if m.Hook.Action != "read" {
			o.underway[m.Hook.Resource.Addr] = true
		}
	case "apply_complete", "apply_errored":
		delete(o.underway, m.Hook.Resource.Addr)
	}
	level := provisionerv1.Line_INFO
	switch {
	case m.Level == "error":
		level = provisionerv1.Line_ERROR
	case m.Level == "warn":
		level = provisionerv1.Line_WARN
	case m.Type == "version", m.Type == "log", m.Type == "refresh_start", m.Type == "refresh_complete", m.Type == "init_output":
		level = provisionerv1.Line_DEBUG
	}
	o.tell(m.At, level, m.Text)
}

// abandoned tells what Terraform was at when it ended without a word: that is in
// no state.
func (o *output) abandoned() {
	for _, addr := range slices.Sorted(maps.Keys(o.underway)) {
		o.diagnose(&tfjson.Diagnostic{
			Severity: tfjson.DiagnosticSeverityError,
			Summary:  "Terraform was killed while it was at " + addr,
			Detail:   "What it had made, changed or removed of that by then, the state does not tell. Look for it outside.",
		})
	}
}

// lockOfOneSystem is a warning that is right and of no use: a template's lock file
// is for provisioners, which are of the system that made it.
const lockOfOneSystem = "Incomplete lock file information for providers"

// diagnose keeps a problem and tells it.
func (o *output) diagnose(d *tfjson.Diagnostic) {
	if d.Severity == tfjson.DiagnosticSeverityWarning && d.Summary == lockOfOneSystem {
		o.tell(time.Now(), provisionerv1.Line_DEBUG, d.Summary)
		return
	}
	p := &provisionerv1.Problem{
		Warning: d.Severity == tfjson.DiagnosticSeverityWarning,
		Summary: d.Summary, Detail: d.Detail,
	}
	if d.Range != nil && path.Base(d.Range.Filename) != overrideFile {
		p.File, p.Line = d.Range.Filename, uint32(d.Range.Start.Line)
	}
	if o.problems++; o.problems <= maxProblems {
		o.problem(p)
	}
	level := provisionerv1.Line_ERROR
	if p.GetWarning() {
		level = provisionerv1.Line_WARN
	}
	o.tell(time.Now(), level, describe(p))
	if p.GetDetail() != "" {
		o.tell(time.Now(), level, p.GetDetail())
	}
}

func (o *output) tell(at time.Time, level provisionerv1.Line_Level, text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		o.enough = !o.log(&provisionerv1.Line{AtMs: at.UnixMilli(), Stage: o.stage, Level: level, Text: line})
	}
}

// describe says a problem in one line, with where it is.
func describe(p *provisionerv1.Problem) string {
	if p.GetFile() == "" {
		return p.GetSummary()
	}
	return fmt.Sprintf("%s:%d: %s", p.GetFile(), p.GetLine(), p.GetSummary())
}

func hasErrors(problems []*provisionerv1.Problem) bool {
	for _, p := range problems {
		if !p.GetWarning() {
			return true
		}
	}
	return false
}

// summary says the first error in one line, and how many more there are.
func summary(problems []*provisionerv1.Problem) error {
	var first *provisionerv1.Problem
	more := -1
	for _, p := range problems {
		if p.GetWarning() {
			continue
		}
		if more++; first == nil {
			first = p
		}
	}
	text := describe(first)
	if d, _, _ := strings.Cut(first.GetDetail(), "\n\n"); d != "" {
		text += ": " + strings.Join(strings.Fields(d), " ")
	}
	if more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return errors.New(text)
}

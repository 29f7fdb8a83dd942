package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// coordinator keeps what it is sent, unless it is away.
type coordinator struct {
	mu     sync.Mutex
	lines  []sdk.LogLine // guarded by mu, as the rest
	states []string
	last   sdk.ScriptsReport
	away   bool
	tries  int
	news   chan struct{}
}

func newCoordinator() *coordinator { return &coordinator{news: make(chan struct{}, 1000)} }

func (c *coordinator) SendAgentLines(_ context.Context, lines []sdk.LogLine) error {
	return c.take(func() { c.lines = append(c.lines, lines...) })
}

func (c *coordinator) ReportScripts(_ context.Context, r sdk.ScriptsReport) error {
	return c.take(func() { c.states, c.last = append(c.states, r.State), r })
}

func (c *coordinator) take(keep func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.news <- struct{}{} }()
	if c.tries++; c.away {
		return errors.New("no answer")
	}
	keep()
	return nil
}

func (c *coordinator) isAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// status is the last that was told of a script.
func (c *coordinator) status(name string) sdk.ScriptStatus {
	for _, s := range c.last.Scripts {
		if s.Name == name {
			return s
		}
	}
	return sdk.ScriptStatus{}
}

// text is all lines, "NAME level: text" each.
func (c *coordinator) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, l := range c.lines {
		fmt.Fprintf(&b, "%s %s: %s\n", l.Stage, l.Level, l.Text)
	}
	return b.String()
}

// until waits until is holds.
func (c *coordinator) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		ok := is()
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c.news:
		case <-timeout:
			t.Fatalf("not within %v: %s; got %v and\n%s", patience, what, c.states, c.text())
		}
	}
}

func (c *coordinator) reported(state string) func() bool {
	return func() bool { return len(c.states) > 0 && c.states[len(c.states)-1] == state }
}

// start starts scripts, which end with the test at the latest.
func start(t *testing.T, c *coordinator, scripts ...sdk.Script) *Runner {
	t.Helper()
	r := New(Config{Scripts: scripts, Shell: "/bin/sh", Dir: t.TempDir(), Env: []string{"GREETING=hello", "PATH=" + os.Getenv("PATH")}, LastLine: 41, Coordinator: c})
	r.Start()
	return r
}

// A program cannot be run while anybody may still write to it, and a process
// that another script is being started in has all that its parent holds open.
func TestScriptsWithAnInterpreterStartSideBySide(t *testing.T) {
	c := newCoordinator()
	var scripts []sdk.Script
	for i := range 64 {
		scripts = append(scripts, sdk.Script{Name: fmt.Sprint("s", i), Script: "#!/bin/sh\nexit 0", RunOn: "start"})
	}
	r := start(t, c, scripts...)
	c.until(t, "all ended", func() bool { return len(c.states) > 0 && c.states[len(c.states)-1] != sdk.ScriptsRunning })
	r.Stop()
	if !c.reported(sdk.ScriptsSucceeded)() {
		t.Errorf("states %v, and\n%s", c.states, c.text())
	}
}

func TestScriptsRunSideBySideAndSayHowTheyEnd(t *testing.T) {
	c := newCoordinator()
	dir := t.TempDir()
	// Each waits for the other: one after the other they would wait for ever.
	meet := func(mine, other string) string {
		return fmt.Sprintf("touch %s/%s; until [ -e %s/%s ]; do sleep 0.01; done; echo $GREETING from %s", dir, mine, dir, other, mine)
	}
	r := start(t, c,
		sdk.Script{Name: "a", Script: meet("a", "b"), RunOn: "start"},
		sdk.Script{Name: "b", Script: meet("b", "a") + "; echo oh >&2; exit 3", RunOn: "start"},
		sdk.Script{Name: "c", Script: "#!/usr/bin/env sh\necho by its own interpreter: $0", RunOn: "start"},
		sdk.Script{Name: "d", Script: "exit 1", RunOn: "at dawn"},
		sdk.Script{Name: "e", Script: "echo goodbye", RunOn: "stop"})
	c.until(t, "failed, as one did", c.reported(sdk.ScriptsFailed))
	text := c.text()
	for _, want := range []string{
		"a info: hello from a\n", "a info: exit code 0 after", "b info: hello from b\n", "b info: oh\n", "b error: exit code 3 after",
		"c info: by its own interpreter: /", "d error: does not run",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "goodbye") {
		t.Error("the shutdown script ran at once")
	}
	r.Stop()
	if text := c.text(); !strings.Contains(text, "e info: goodbye\n") || !strings.Contains(text, "e info: exit code 0") {
		t.Errorf("no shutdown script in\n%s", text)
	}
	for i, l := range c.lines {
		if l.Seq != int64(42+i) {
			t.Errorf("line %d has number %d", i, l.Seq)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "adit-script-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAScriptThatTakesTooLongIsEnded(t *testing.T) {
	c := newCoordinator()
	began := time.Now()
	r := start(t, c, sdk.Script{Name: "slow", Script: "echo on it; sleep 1000 & wait", RunOn: "start", TimeoutSeconds: 1})
	c.until(t, "timeout", c.reported(sdk.ScriptsTimeout))
	if took := time.Since(began); took < time.Second || took > patience/2 {
		t.Errorf("ended after %v", took)
	}
	r.Stop()
	if text := c.text(); !strings.Contains(text, "slow error: ended: it took longer than 1 s") {
		t.Error(text)
	}
}

// What a script starts in the background neither holds it up nor dies of a
// closed pipe.
func TestTheBackgroundGoesOn(t *testing.T) {
	c := newCoordinator()
	gate := filepath.Join(t.TempDir(), "gate")
	r := start(t, c, sdk.Script{Name: "bg", RunOn: "start", Script: fmt.Sprintf(
		"(until [ -e %s ]; do sleep 0.01; done; echo later; echo and later) & echo now", gate)})
	c.until(t, "succeeded", c.reported(sdk.ScriptsSucceeded))
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.until(t, "the background's lines", func() bool {
		return len(c.lines) > 0 && c.lines[len(c.lines)-1].Text == "and later"
	})
	r.Stop()
}

func TestStopCutsStartupScriptsShort(t *testing.T) {
	c := newCoordinator()
	r := start(t, c, sdk.Script{Name: "endless", Script: "echo started; exec sleep 1000", RunOn: "start"})
	c.until(t, "started", func() bool { return len(c.lines) > 0 })
	r.Stop()
	if text := c.text(); !strings.Contains(text, "endless error: cut short") {
		t.Error(text)
	}
	if c.reported(sdk.ScriptsFailed)() {
		t.Error("an agent that ends has scripts that failed")
	}
}

func TestACoordinatorThatIsAwayGetsItAllLater(t *testing.T) {
	c := newCoordinator()
	c.isAway(true)
	r := start(t, c, sdk.Script{Name: "s", Script: "seq 1 600; printf %5000s x", RunOn: "start"})
	c.until(t, "a try", func() bool { return c.tries > 0 })
	c.isAway(false)
	c.until(t, "succeeded", c.reported(sdk.ScriptsSucceeded))
	r.Stop()
	text := c.text()
	for _, want := range []string{"s info: 1\n", "s info: 600\n", "s info: exit code 0"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, l := range c.lines {
		if len(l.Text) > maxLine {
			t.Errorf("a line of %d bytes", len(l.Text))
		}
	}
}

func TestWithoutScriptsNothingIsReported(t *testing.T) {
	c := newCoordinator()
	r := start(t, c)
	r.Stop()
	if len(c.states) != 0 || len(c.lines) != 0 {
		t.Errorf("%v, %v", c.states, c.lines)
	}
}

// When a Runner hands over, what startup scripts have done is done, and what they left
// in the background goes on and is heard; what was cut short runs again.
func TestHandingOver(t *testing.T) {
	dir := t.TempDir()
	scripts := []sdk.Script{
		{Name: "once", RunOn: runOnStart, Script: "echo once >> ran; (while [ ! -e go ]; do sleep 0.01; done; echo heard; touch said) &"},
		{Name: "long", RunOn: runOnStart, RunAfter: []string{"once"}, Script: "echo long >> ran; while [ ! -e go ]; do sleep 0.01; done"},
		{Name: "service", RunOn: runOnStart, Service: true, Script: "echo service >> ran; exec sleep 1000"},
		{Name: "shutdown", RunOn: runOnStop, Script: "echo shutdown >> ran"},
	}
	config := func(c *coordinator) Config {
		return Config{Scripts: scripts, Shell: "/bin/sh", Dir: dir, Home: dir, Env: os.Environ(), Coordinator: c}
	}
	ran := func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "ran")) // there is none yet
		return string(text)
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not within %v: %s; ran: %q", patience, what, ran())
			}
		}
	}
	first := New(config(newCoordinator()))
	first.Start()
	await("all run", func() bool { return strings.Count(ran(), "\n") == 3 })
	if !first.Starting() {
		t.Error("a startup script runs, and nothing starts")
	}
	before, outputs := first.HandOver()
	if strings.Contains(ran(), "shutdown") {
		t.Error("a shutdown script ran")
	}
	if err := os.Remove(filepath.Join(dir, "ran")); err != nil {
		t.Fatal(err)
	}

	c := newCoordinator()
	cfg := config(c)
	cfg.Before, cfg.Outputs = before, outputs
	second := New(cfg)
	second.Start()
	await("what is to run again runs", func() bool { return strings.Count(ran(), "\n") == 2 })
	if got := ran(); strings.Contains(got, "once") || !strings.Contains(got, "long") || !strings.Contains(got, "service") {
		t.Errorf("ran again: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await("the background is heard", func() bool { return strings.Contains(c.text(), "once info: heard") })
	await("it was not ended by it", func() bool { _, err := os.Stat(filepath.Join(dir, "said")); return err == nil })
	await("all is done", func() bool { return !second.Starting() })
	second.Stop()
	if s := c.status("once"); s.State != sdk.ScriptsSucceeded || s.Runs != 1 {
		t.Errorf("once: %+v", s)
	}
	if !strings.Contains(ran(), "shutdown") {
		t.Error("no shutdown script ran at the end")
	}
}

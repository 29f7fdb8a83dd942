package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestOrder(t *testing.T) {
	c := newCoordinator()
	log := filepath.Join(t.TempDir(), "log")
	note := func(name, after string) sdk.Script {
		s := sdk.Script{Name: name, RunOn: "start", Script: fmt.Sprintf("echo %s >> %s", name, log)}
		if after != "" {
			s.RunAfter = strings.Split(after, ",")
		}
		return s
	}
	r := start(t, c, note("last", "left,right"), note("right", "first"), note("left", "first"), note("first", ""))
	c.until(t, "succeeded", c.reported(sdk.ScriptsSucceeded))
	r.Stop()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(b)), " "); got != "first left right last" && got != "first right left last" {
		t.Errorf("ran %s", got)
	}
}

// What cannot be in any order says so, and the others run.
func TestOrdersThatCannotBe(t *testing.T) {
	c := newCoordinator()
	after := func(name string, code int, after ...string) sdk.Script {
		return sdk.Script{Name: name, RunOn: "start", Script: fmt.Sprint("exit ", code), RunAfter: after}
	}
	r := start(t, c, after("ok", 0), after("fails", 4), after("never", 0, "fails"), after("nor this", 0, "never"),
		after("hen", 0, "egg"), after("egg", 0, "hen"), after("omelette", 0, "egg"), after("self", 0, "self"), after("lost", 0, "nobody"))
	c.until(t, "failed", c.reported(sdk.ScriptsFailed))
	r.Stop()
	for name, want := range map[string]string{
		"ok": sdk.ScriptsSucceeded, "fails": sdk.ScriptsFailed, "never": sdk.ScriptSkipped, "nor this": sdk.ScriptSkipped, "hen": sdk.ScriptsFailed,
		"egg": sdk.ScriptsFailed, "omelette": sdk.ScriptSkipped, "self": sdk.ScriptsFailed, "lost": sdk.ScriptsFailed,
	} {
		if got := c.status(name); got.State != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	if code := c.status("fails").ExitCode; code == nil || *code != 4 {
		t.Errorf("exit code %v", code)
	}
	text := c.text()
	for _, want := range []string{"hen error: does not run: scripts that run after each other: hen after egg after hen", `lost error: does not run: it runs after "nobody"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestAServiceIsStartedAgainWhenItFails(t *testing.T) {
	c := newCoordinator()
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	r := New(Config{
		Shell: "/bin/sh", Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH")}, Coordinator: c, RestartAfter: 10 * time.Millisecond,
		Scripts: []sdk.Script{
			// Its third run goes on; what it leaves behind goes with it.
			{Name: "web", RunOn: "start", Service: true, Script: fmt.Sprintf(
				"echo x >> %s; [ $(wc -l < %s) -ge 3 ] || exit 7; sleep 1000 & echo $! > %s/child; echo up; wait", count, count, dir)},
			{Name: "uses it", RunOn: "start", RunAfter: []string{"web"}, Script: "exit 0"},
		},
	})
	r.Start()
	c.until(t, "nobody waits for it", c.reported(sdk.ScriptsSucceeded))
	c.until(t, "its third run", func() bool { s := c.status("web"); return s.Runs == 3 && s.State == sdk.ScriptsRunning })
	c.until(t, "up", func() bool { return c.lines[len(c.lines)-1].Text == "up" })
	r.Stop()
	text := c.text()
	for _, want := range []string{"web error: exit code 7 after", "web warn: starts again in 10ms", "web warn: starts again in 20ms", "web error: cut short"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	gone(t, filepath.Join(dir, "child"))
}

func TestAServiceThatEndsWellHasEnded(t *testing.T) {
	c := newCoordinator()
	r := start(t, c, sdk.Script{Name: "once", RunOn: "start", Service: true, Script: "exit 0"})
	c.until(t, "it ended", func() bool { return c.status("once").State == sdk.ScriptsSucceeded })
	r.Stop()
	if s := c.status("once"); s.Runs != 1 {
		t.Errorf("%+v", s)
	}
}

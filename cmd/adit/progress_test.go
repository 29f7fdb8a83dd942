package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/aditmesh/adit/pkg/sdk"
)

// What a terminal shows of a build, redrawn lines as they are at last.
func TestStagesWithTheirTimes(t *testing.T) {
	var screen bytes.Buffer
	now := time.Now()
	s := newStages(&screen, "Starting dev", now)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	s.draw(at(100))
	s.line(sdk.LogLine{Stage: "init", Level: "info", Text: "Installing\x1b[2J"}, at(500))
	s.line(sdk.LogLine{Stage: "apply", Level: "info", Text: "adit_process.main: Creating"}, at(1700))
	s.line(sdk.LogLine{Stage: "apply", Level: "warn", Text: "slow disk"}, at(1800))
	s.line(sdk.LogLine{Stage: "apply", Level: "debug", Text: "not for people"}, at(2000))
	s.end(at(3000), sdk.Job{Status: "succeeded"})
	want := []string{
		"Starting dev…", "✓ init       1.2 s", "✓ apply      1.3 s", "Starting dev: done in 3.0 s",
	}
	if got := settled(screen.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the screen shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// settled is what is left on a screen of lines that were drawn over.
func settled(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\r\x1b[K")
		if last := parts[len(parts)-1]; last != "" {
			lines = append(lines, last)
		}
	}
	return lines
}

func TestJudgeNamesFileAndLine(t *testing.T) {
	var errOut bytes.Buffer
	a := &app{streams: streams{err: &errOut}}
	err := a.judge(sdk.Job{Status: "failed", Error: "the template is wrong", Problems: []sdk.Problem{
		{Summary: "Unsupported argument", Detail: "no \"colour\"\n is expected here", File: "main.tf", Line: 12},
		{Warning: true, Summary: "old syntax"},
	}}, "build 3 (start) of workspace dev", "try again")
	if want := "error: main.tf:12: Unsupported argument: no \"colour\" is expected here\nwarning: old syntax\n"; errOut.String() != want {
		t.Errorf("said %q, want %q", errOut.String(), want)
	}
	if err == nil || err.Error() != "build 3 (start) of workspace dev failed: the template is wrong; try again" {
		t.Error(err)
	}
	if err := a.judge(sdk.Job{Status: "succeeded"}, "", ""); err != nil {
		t.Error(err)
	}
}

// A line that is drawn over has to be one on the screen, also when the terminal
// writes ^C behind it.
func TestALineThatIsDrawnOverFitsAnyTerminal(t *testing.T) {
	for _, width := range []uint16{80, 40, 15, 2} {
		near, far, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		defer far.Close()
		if err := pty.Setsize(near, &pty.Winsize{Rows: 24, Cols: width}); err != nil {
			t.Fatal(err)
		}
		s := &stages{w: far, title: "Starting dev", stage: "apply", last: strings.Repeat("a long name ", 20)}
		s.draw(time.Now())
		if _, err := far.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		drawn, err := bufio.NewReader(near).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimRight(strings.TrimPrefix(drawn, "\r\x1b[K"), "\r\n")
		if n := len([]rune(text)); n+len("^C") >= int(width) && n > 0 {
			t.Errorf("%d columns hold %q", width, text)
		}
	}
}

// Its problems have said it already.
func TestAReasonIsShortAfterItsProblems(t *testing.T) {
	var errOut bytes.Buffer
	a := &app{streams: streams{err: &errOut}}
	long := strings.Repeat("a command says much ", 100)
	err := a.judge(sdk.Job{Status: "failed", Error: long, Problems: []sdk.Problem{{Summary: long}}}, "it", "try again")
	if len(err.Error()) > maxReason+40 || !strings.HasSuffix(err.Error(), "…; try again") {
		t.Errorf("said %q", err)
	}
	if err := a.judge(sdk.Job{Status: "failed", Error: long}, "it", "try again"); !strings.Contains(err.Error(), long) {
		t.Errorf("said %q, and nothing before", err)
	}
}

package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
)

const (
	// termGrace is how long a command may take to end when it is told to.
	termGrace = 5 * time.Second

	// drainGrace is how long its last words may take to come.
	drainGrace = 500 * time.Millisecond

	// maxLine bounds a line of output; a longer one goes on in the next.
	maxLine = 4 << 10
)

// run runs a command to its end, or ends it with all that it started when ctx does.
// The error has the last that it said. Only what has a slug is logged.
func (s *supervisor) run(ctx context.Context, slug, command string) error {
	cmd := exec.Command(s.cfg.Shell, "-c", command)
	cmd.Dir, cmd.Env = s.cfg.Dir, s.cfg.Env
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd.Stdout, cmd.Stderr = out, out
	family.Apart(cmd)
	all, err := family.Start(cmd, s.cfg.Start)
	out.Close()
	if err != nil {
		return err
	}
	defer all.Close()
	last := make(chan string, 1)
	go func() { last <- s.read(in, slug) }() // ends when the pipe is closed
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = all.Signal(syscall.SIGTERM) // it may be gone
		select {
		case err = <-ended:
		case <-time.After(termGrace):
			_ = all.Signal(syscall.SIGKILL)
			err = <-ended
		}
	}
	_ = all.Signal(syscall.SIGKILL) // what it left behind has nobody to answer to
	said := ""
	select {
	case said = <-last:
	case <-time.After(drainGrace):
		in.Close()
		said = <-last
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := "exit code 0"
	if err != nil {
		text = strings.Replace(err.Error(), "exit status", "exit code", 1)
	}
	if said != "" {
		text += ", " + said
	}
	if err != nil || slug != "" { // that it ended is the error of what is to go on
		return errors.New(text)
	}
	return nil
}

// read logs what a command prints and returns its last line.
func (s *supervisor) read(r io.Reader, slug string) (last string) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.ToValidUTF8(strings.TrimSpace(string(line)), "?"); text != "" {
			last = fmt.Sprintf("%.200s", text)
			if slug != "" {
				s.cfg.Logger.Debug(text, "app", slug)
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return last
		}
	}
}

package pty

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
)

// multiplexer is a program that keeps sessions, also when this process ends.
type multiplexer interface {
	// attach is what looks at a session, which it makes if there is none.
	attach(name, command string) []string
	list() []Info
	kill(name string) error
}

// findMultiplexer finds one that is there; nil if none is.
func findMultiplexer(scope string) multiplexer {
	if path, err := exec.LookPath("tmux"); err == nil {
		return tmux{path, scope}
	}
	if path, err := exec.LookPath("screen"); err == nil {
		return screen{path, "adit-" + scope + "-"}
	}
	return nil
}

// tmux keeps sessions on a server of adit's own, so that they and the user's do not
// get in each other's way.
type tmux struct{ path, scope string }

func (t tmux) args(args ...string) []string {
	return append([]string{t.path, "-L", "adit-" + t.scope, "-u"}, args...)
}

func (t tmux) attach(name, command string) []string {
	args := t.args("new-session", "-A", "-s", name)
	if command != "" {
		args = append(args, command)
	}
	return append(args, ";", "set-option", "-g", "window-size", "smallest", ";", "set-option", "status", "off")
}

func (t tmux) list() []Info {
	args := t.args("list-sessions", "-F", "#{session_name} #{session_created} #{session_attached}")
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		return nil // there is no server, and so no session
	}
	var list []Info
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		created, _ := strconv.ParseInt(f[1], 10, 64) // of one that says nothing it is not known
		viewers, _ := strconv.Atoi(f[2])
		list = append(list, Info{Name: f[0], Kept: "tmux", Created: time.Unix(created, 0), Viewers: viewers})
	}
	return list
}

func (t tmux) kill(name string) error {
	args := t.args("kill-session", "-t", "="+name)
	if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
		return ErrNone
	}
	return nil
}

// screen keeps sessions whose names begin as adit's do.
type screen struct{ path, prefix string }

func (s screen) attach(name, command string) []string {
	if id := s.find(name); id != "" {
		return []string{s.path, "-q", "-x", id}
	}
	args := []string{s.path, "-q", "-S", s.prefix + name}
	if command != "" {
		args = append(args, "sh", "-c", command)
	}
	return args
}

// sessions lists PID.NAME of each, and how many look at it: screen says no more than
// that there are some.
func (s screen) sessions() map[string]int {
	out, _ := exec.Command(s.path, "-ls").Output() // its exit code says how many there are
	found := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.Contains(f[0], "."+s.prefix) {
			continue
		}
		found[f[0]] = 0
		if !strings.Contains(line, "Detached") {
			found[f[0]] = 1
		}
	}
	return found
}

func (s screen) find(name string) string {
	for id := range s.sessions() {
		if _, n, _ := strings.Cut(id, "."); n == s.prefix+name {
			return id
		}
	}
	return ""
}

func (s screen) list() []Info {
	var list []Info
	for id, viewers := range s.sessions() {
		_, name, _ := strings.Cut(id, ".")
		list = append(list, Info{Name: strings.TrimPrefix(name, s.prefix), Kept: "screen", Viewers: viewers})
	}
	return list
}

func (s screen) kill(name string) error {
	id := s.find(name)
	if id == "" {
		return ErrNone
	}
	if err := exec.Command(s.path, "-S", id, "-X", "quit").Run(); err != nil {
		return fmt.Errorf("pty: end session %s: %w", name, err)
	}
	return nil
}

// attachTo looks at a session that a multiplexer keeps, by running it on a terminal
// of the viewer's.
func attachTo(m multiplexer, name string, size Size, cmd *exec.Cmd, command string, start family.Starter) (Viewer, error) {
	args := m.attach(name, command)
	look := exec.Command(args[0], args[1:]...)
	look.Env, look.Dir = cmd.Env, cmd.Dir
	tty, err := Open(size, "")
	if err != nil {
		return nil, err
	}
	program, err := tty.Start(look, start)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pty: start %s: %w", args[0], err), tty.Close())
	}
	out, in := io.Pipe()
	v := &guest{Terminal: tty, program: program, out: out, over: make(chan struct{})}
	go func() { // ends with the program, which Close ends
		var shown sync.WaitGroup
		shown.Go(func() { tty.CopyTo(in) })
		v.err = program.Wait()
		close(v.over)
		tty.End()
		shown.Wait()
		program.Close()
		in.Close()
	}()
	return v, nil
}

// guest looks at a session that a multiplexer keeps.
type guest struct {
	*Terminal
	program *Process
	out     *io.PipeReader
	leave   sync.Once
	over    chan struct{} // closed when the program has ended
	err     error         // set before that
}

func (g *guest) Read(p []byte) (int, error) { return g.out.Read(p) }

func (g *guest) Wait() error {
	<-g.over
	return g.err
}

// Close hangs up, on which the multiplexer leaves the session.
func (g *guest) Close() error {
	g.leave.Do(func() {
		select {
		case <-g.over:
		default:
			_ = g.program.Signal(syscall.SIGHUP) // it may be ending
		}
		g.out.Close()
		go func() {
			select {
			case <-g.over:
			case <-time.After(hangupGrace):
				_ = g.program.Kill()
			}
			<-g.over
			g.Terminal.Close()
		}()
	})
	return nil
}

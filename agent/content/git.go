package content

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
	// maxLine bounds a line of output; a longer one is cut.
	maxLine = 4 << 10

	// lastLines is how many lines are kept to say why something failed.
	lastLines = 5

	// drainGrace is how long output may take to come in once a program has ended.
	drainGrace = 500 * time.Millisecond
)

// errNoGit is the absence of git.
var errNoGit = errors.New("git is not installed in the workspace; add it to the template's image")

// git runs git and gives what it says to say. Its error has the last of it.
func (cfg Config) git(ctx context.Context, say func(level, line string), args ...string) error {
	program, err := lookPath("git", cfg.Env)
	if err != nil {
		return errNoGit
	}
	env := append(cfg.Env[:len(cfg.Env):len(cfg.Env)], "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "LC_ALL=C", "GIT_ALLOW_PROTOCOL="+protocols)
	if value(cfg.Env, "GIT_SSH_COMMAND") == "" {
		env = append(env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new")
	}
	return run(ctx, cfg.Start, program, args, cfg.Home, env, say)
}

// run runs a program to its end, or with all it started to that of ctx.
func run(ctx context.Context, start family.Starter, program string, args []string, dir string, env []string, say func(level, line string)) error {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, env
	family.Apart(cmd)
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.WaitDelay = drainGrace
	all, err := family.Start(cmd, start)
	if err != nil {
		return err
	}
	defer all.Close()
	stop := context.AfterFunc(ctx, func() { _ = all.Signal(syscall.SIGKILL) }) // it may be gone
	defer stop()
	read := make(chan []string, 1)
	go func() { read <- lines(out, say) }()
	err = cmd.Wait()
	w.Close()
	last := <-read
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%w: %s", err, strings.Join(last, "; "))
	}
	return nil
}

// lines gives each line of r to say and returns the last ones.
func lines(r io.Reader, say func(level, line string)) (last []string) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if text := strings.TrimSpace(hidden(string(line))); text != "" {
			say("info", text)
			if last = append(last, text); len(last) > lastLines {
				last = last[1:]
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return last
		}
	}
}

// lookPath finds a program on the path of an environment.
func lookPath(name string, env []string) (string, error) {
	for _, dir := range strings.Split(value(env, "PATH"), string(os.PathListSeparator)) {
		path := strings.TrimRight(dir, "/") + "/" + name
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

// value is a variable of an environment.
func value(env []string, name string) (v string) {
	for _, kv := range env {
		if text, ok := strings.CutPrefix(kv, name+"="); ok {
			v = text
		}
	}
	return v
}

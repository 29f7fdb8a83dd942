package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

const (
	// extraGrace is what a supervisor has beyond its agent's grace, before it
	// counts as hung.
	extraGrace = 5 * time.Second

	// exitPoll bounds one wait for a process' end, after which the context is
	// looked at.
	exitPoll = 100 * time.Millisecond

	// killPatience is how long the kernel may take to end what was killed.
	killPatience = 10 * time.Second
)

// stop ends the supervisor of an agent's directory, and all that is left.
func stop(ctx context.Context, dir string, agent uuid.UUID) error {
	alive := filepath.Join(dir, aliveFile)
	pid, err := holder(alive)
	if err != nil {
		return err
	}
	if pid != 0 {
		if err := end(ctx, alive, pid, graceOf(dir), agent); err != nil {
			return wrap("stop the supervisor of "+agent.String(), err)
		}
	}
	killAll(agent)
	return wrap("remove the cgroup", removeCgroup(agent))
}

// end asks a supervisor to stop, and kills it if it does not.
func end(ctx context.Context, alive string, pid int, grace time.Duration, agent uuid.UUID) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// The process may have ended, and its number be another's by now.
	if now, err := holder(alive); err != nil || now != pid {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if waitExit(ctx, fd, grace+extraGrace) {
		return nil
	}
	killCgroup(agent)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if !waitExit(context.WithoutCancel(ctx), fd, killPatience) {
		return errors.New("it does not end even when killed")
	}
	return nil
}

// waitExit reports whether a process ended in time.
func waitExit(ctx context.Context, fd int, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(exitPoll.Milliseconds()))
		if err == nil && n > 0 {
			return true
		}
	}
	return false
}

// graceOf reads how long the agent of a directory may take.
func graceOf(dir string) time.Duration {
	var s Spec
	raw, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Grace <= 0 {
		return DefaultGrace
	}
	return s.Grace
}

// killAll kills every process that carries an agent's mark, but this one.
func killAll(agent uuid.UUID) {
	want := []byte(Mark + "=" + agent.String())
	// A process may start another while the list is read: look until there is
	// none, but not for ever.
	for range 10 {
		found := false
		environs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range environs {
			environ, err := os.ReadFile(file)
			if err != nil || !hasEntry(environ, want) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && pid != os.Getpid() && unix.Kill(pid, unix.SIGKILL) == nil {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

func hasEntry(environ, want []byte) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(entry, want) {
			return true
		}
	}
	return false
}

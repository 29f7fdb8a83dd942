//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aditmesh/adit/agent"
)

// becomeUpdated starts the program that has taken the place of this one, in this
// process: whoever waits for it, and what it has started, notice nothing. It returns
// only if that failed.
func becomeUpdated(token string, h agent.Handover) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start the updated program: %w", err)
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ADIT_AGENT_TOKEN") {
			env = append(env, kv)
		}
	}
	env = append(env, "ADIT_AGENT_TOKEN="+token)
	// Without it scripts run again, which is no reason not to start.
	if fd, err := leave(h); err == nil {
		env = append(env, handoverEnv+"="+strconv.Itoa(fd))
	} else {
		fmt.Fprintln(os.Stderr, "what scripts have done is not handed over:", err)
	}
	err = unix.Exec(program, withoutToken(os.Args), env)
	runtime.KeepAlive(h) // what is collected is closed
	return fmt.Errorf("start the updated program %s: %w", program, err)
}

// leave writes what is handed over to a file that has no name, and keeps it and the
// files that it speaks of open for the next program.
func leave(h agent.Handover) (fd int, err error) {
	f, err := os.CreateTemp("", "adit-handover-*")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := errors.Join(os.Remove(f.Name()), json.NewEncoder(f).Encode(h)); err != nil {
		return 0, err
	}
	for _, o := range h.Outputs {
		_, err := unix.FcntlInt(o.FD, unix.F_SETFD, 0)
		if err = errors.Join(err, unix.SetNonblock(int(o.FD), true)); err != nil { // or reading could not be ended again
			return 0, fmt.Errorf("the output of script %s: %w", o.Script, err)
		}
	}
	return unix.Dup(int(f.Fd()))
}

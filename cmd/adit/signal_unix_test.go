//go:build unix

package main

import (
	"context"
	"errors"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// An agent that was started with nohup outlives the terminal, and the programs that it
// starts can be hung up all the same.
func TestNohup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	ctx, stop := untilSignal()
	defer stop()
	out, err := exec.Command("sh", "-c", "kill -HUP $$; echo ignored").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGHUP {
		t.Errorf("a program that is hung up: %v, %s", err, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	<-ctx.Done()
	if why := context.Cause(ctx).Error(); !strings.Contains(why, syscall.SIGTERM.String()) {
		t.Errorf("it ended by: %s", why)
	}
}

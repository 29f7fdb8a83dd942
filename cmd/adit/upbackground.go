package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aditmesh/adit/tunnel/daemon"
)

// backgroundStarts is how long a daemon in the background may take to be up.
const backgroundStarts = 30 * time.Second

// background starts the same command line as a process of its own, and returns once
// that is up, or with why it is not.
func background(ctx context.Context, a *app, socket string) error {
	if s, err := daemon.NewClient(socket).Status(ctx); err == nil && s.Version == version {
		return alreadyUp(ctx, socket)
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--background: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return fmt.Errorf("--background: %w", err)
	}
	name := socket + ".log"
	log, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--background: %w", err)
	}
	defer log.Close()
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(s string) bool { return strings.HasPrefix(s, "--background") })
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, ownSession()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("--background: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with this process at the latest
	ctx, cancel := context.WithTimeout(ctx, backgroundStarts)
	defer cancel()
	const step = 20 * time.Millisecond
	for {
		s, err := daemon.NewClient(socket).Status(ctx)
		if err == nil && s.PID == cmd.Process.Pid && s.State == daemon.StateUp && s.User != "" {
			_, err := fmt.Fprintf(a.out, "adit is up in the background (process %d, log in %s); 'adit down' ends it\n", s.PID, name)
			return err
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(name) // what it said, if anything
			why := strings.TrimPrefix(strings.TrimSpace(string(text)), "adit up: ")
			if why == "" {
				why = "the daemon ended without a word"
			}
			return errors.New(why)
		case <-ctx.Done():
			return fmt.Errorf("the daemon is not up yet; its log is %s", name)
		case <-time.After(step):
		}
	}
}

// notifyReady tells systemd, if it has started this process, that the daemon is up.
func notifyReady() {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	if abstract, ok := strings.CutPrefix(name, "@"); ok {
		name = "\x00" + abstract
	}
	conn, err := net.Dial("unixgram", name)
	if err != nil {
		return // nobody waits for it
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("READY=1\n"))
}

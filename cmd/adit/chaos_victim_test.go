package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// victim is a program that is killed, and started again.
type victim struct {
	t    *testing.T
	name string
	log  string // file with all that its processes say
	make func() *exec.Cmd

	mu   sync.Mutex // guards the following; held from a kill to the next start
	cmd  *exec.Cmd
	dead chan struct{} // closed when cmd has ended
	ends bool          // it was told to end, or killed
}

// begin starts the program.
func (v *victim) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.start()
}

func (v *victim) start() {
	out, err := os.OpenFile(v.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		v.t.Error(err)
		return
	}
	defer out.Close()
	cmd, dead := v.make(), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		v.t.Errorf("start the %s: %v", v.name, err)
		return
	}
	v.cmd, v.dead, v.ends = cmd, dead, false
	go func() {
		err := cmd.Wait()
		close(dead)
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.cmd == cmd && !v.ends {
			v.t.Errorf("the %s ended by itself: %v", v.name, err)
			v.ends = true
		}
	}()
}

// kill kills the program, and nothing but it, and starts it again after a while.
func (v *victim) kill(pause time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(syscall.SIGKILL)
	time.Sleep(pause) // the outage
	v.start()
}

// stop ends the program as people do.
func (v *victim) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.end(syscall.SIGTERM)
}

func (v *victim) end(sig os.Signal) {
	if v.cmd == nil {
		return
	}
	v.ends = true
	_ = v.cmd.Process.Signal(sig) // it may be gone
	select {
	case <-v.dead:
	case <-time.After(patience):
		v.t.Errorf("the %s does not end by %v", v.name, sig)
		_ = v.cmd.Process.Kill()
		<-v.dead
	}
}

// tail is the last of what it said.
func (v *victim) tail() string {
	text, err := os.ReadFile(v.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-20_000):])
}

// hostProcess is one that runs on this host.
type hostProcess struct {
	pid  int
	name string
}

// carrying returns the processes that have a text in their environment or
// command line.
func carrying(text string) []hostProcess {
	var found []hostProcess
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, _ := os.ReadFile(dir + "/environ") // or it is gone
		line, _ := os.ReadFile(dir + "/cmdline")
		if !bytes.Contains(environ, []byte(text)) && !bytes.Contains(line, []byte(text)) {
			continue
		}
		name, err := os.ReadFile(dir + "/comm")
		if err == nil {
			found = append(found, hostProcess{pid, strings.TrimSpace(string(name))})
		}
	}
	return found
}

func (p hostProcess) String() string { return fmt.Sprintf("%s (%d)", p.name, p.pid) }

// killTerraform kills the Terraform of a job, without what it started, once
// there is one. It gives up when over is closed.
func killTerraform(job string, over <-chan struct{}) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range carrying("/jobs/" + job + ".") {
			if p.name == "terraform" && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
				return true
			}
		}
		select {
		case <-over:
			return false
		case <-tick.C:
		}
	}
}

//go:build unix

package family

import (
	"os"
	"os/exec"
	"syscall"
)

// Family is a program with what it has started and that has not left it.
type Family struct{ leader int }

// Apart gives a program a session of its own: no terminal, and one process group.
func Apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Of returns the family of a program that was started apart.
func Of(leader *os.Process) (*Family, error) { return &Family{leader.Pid}, nil }

// Signal sends a signal to all of it.
func (f *Family) Signal(sig syscall.Signal) error { return syscall.Kill(-f.leader, sig) }

// Close lets go of it. What is left in the background stays.
func (f *Family) Close() {}

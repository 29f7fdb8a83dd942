package family

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// Family is a program with what it has started: a job, as Windows calls it. What
// the program starts before it is put there does not belong to it, which leaves
// it a moment.
type Family struct{ job windows.Handle }

// Apart keeps what is typed on this process's console from a program.
func Apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

// Of returns the family of a program that was started.
func Of(leader *os.Process) (*Family, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("family: make a job: %w", err)
	}
	herr := leader.WithHandle(func(h uintptr) { err = windows.AssignProcessToJobObject(job, windows.Handle(h)) })
	if err := errors.Join(herr, err); err != nil {
		return nil, errors.Join(fmt.Errorf("family: put process %d in a job: %w", leader.Pid, err), windows.CloseHandle(job))
	}
	return &Family{job}, nil
}

// Signal ends all of it: Windows knows no other signal that reaches programs
// without a console.
func (f *Family) Signal(sig syscall.Signal) error {
	return windows.TerminateJobObject(f.job, 128+uint32(sig)) // as shells have it
}

// Close lets go of it. What is left in the background stays.
func (f *Family) Close() { _ = windows.CloseHandle(f.job) }

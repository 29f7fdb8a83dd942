// Package family ends a program together with what it has started.
//
// Call [Start] with a program that was set [Apart], and Close once it has been waited
// for.
package family

import (
	"errors"
	"os/exec"
)

// Starter starts programs, such as with another priority than this process has. Nil
// starts them as they are.
type Starter func(*exec.Cmd) error

// Start starts a program.
func (s Starter) Start(cmd *exec.Cmd) error {
	if s == nil {
		return cmd.Start()
	}
	return s(cmd)
}

// Start starts a program by way of s and returns its family.
func Start(cmd *exec.Cmd, s Starter) (*Family, error) {
	if err := s.Start(cmd); err != nil {
		return nil, err
	}
	all, err := Of(cmd.Process)
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return all, nil
}

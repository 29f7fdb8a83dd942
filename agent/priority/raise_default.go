//go:build !linux

package priority

import "os/exec"

// Raised is what was raised: nothing, where a program cannot be started lower.
type Raised struct{}

// Raise raises nothing.
func Raise() (*Raised, error) { return new(Raised), nil }

// Start starts a program.
func (*Raised) Start(cmd *exec.Cmd) error { return cmd.Start() }

// Lowered calls f, which starts a program or becomes one.
func (*Raised) Lowered(f func() error) error { return f() }

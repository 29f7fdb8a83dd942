//go:build unix

package forge

import (
	"os/exec"
	"syscall"
)

// together has a command and all that it starts end at once: git ends without those
// that do its work, and one that waits for a forge would wait on.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

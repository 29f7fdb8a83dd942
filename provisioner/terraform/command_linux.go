package terraform

import (
	"os/exec"
	"syscall"
)

// apart makes a command end with this process, and keeps what is typed to this
// one from it.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

package terraform

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread is how much a command can write when this process is gone.
const unread = 1 << 20

// apart keeps what is typed to this process from a command. Nor does the command
// end with this process: what a provider makes in that moment would be written down
// nowhere. A death signal that only interrupts is none that Terraform survives: it
// comes once for each thread that dies.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// lasting returns, in place of a pipe's end to write to, one that is both ends: who
// holds it has a reader for as long as there is room, when this process is gone,
// too, and does not die of writing.
func lasting(to *os.File) (*os.File, error) {
	defer to.Close()
	both, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", to.Fd()), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	// Without it the room is less.
	_, _ = unix.FcntlInt(both.Fd(), unix.F_SETPIPE_SZ, unread)
	return both, nil
}

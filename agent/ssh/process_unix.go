//go:build unix

package ssh

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
)

// maxRest bounds what is taken of a pipe once its program has ended: more than
// a pipe can hold comes from somebody else.
const maxRest = 1 << 20

// loginName is what a shell is called that is to be a login shell.
func loginName(shell string) string { return "-" + filepath.Base(shell) }

// signalNumbers are the signals of RFC 4254, section 6.10.
var signalNumbers = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP,
	"ILL": syscall.SIGILL, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE,
	"QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

// leave leaves what a program left in the background to itself.
func leave(all *family.Family) { all.Close() }

// takeRest takes what a pipe holds now.
func takeRest(r *os.File, buf []byte, write func([]byte)) {
	raw, err := r.SyscallConn()
	if err != nil || r.SetReadDeadline(time.Time{}) != nil {
		return // it is closed
	}
	for taken := 0; taken < maxRest; {
		var n int
		var readErr error
		// It does not block: the runtime has made it so.
		err := raw.Read(func(fd uintptr) bool {
			n, readErr = syscall.Read(int(fd), buf)
			return !errors.Is(readErr, syscall.EINTR)
		})
		if err != nil || readErr != nil || n == 0 {
			return
		}
		write(buf[:n])
		taken += n
	}
}

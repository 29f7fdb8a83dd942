package ssh

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/aditmesh/adit/agent/family"
)

// loginName is what a shell is called: none knows a login.
func loginName(shell string) string { return filepath.Base(shell) }

// signalNumbers are those signals of RFC 4254, section 6.10, that end a program:
// there are no others here.
var signalNumbers = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT,
	"KILL": syscall.SIGKILL, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
}

// leave ends what a program left in the background, as sshd does on Windows: a
// pipe that it holds cannot be read with a deadline.
func leave(all *family.Family) {
	_ = all.Signal(syscall.SIGKILL) // there may be nothing
	all.Close()
}

// takeRest has nothing to take: output ends with the family.
func takeRest(*os.File, []byte, func([]byte)) {}

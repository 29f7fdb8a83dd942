//go:build unix

package ssh

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"strings"
)

// loginShell is the shell that an account logs in with: what the passwd file says
// rather than the environment, else what every Unix has.
func loginShell(a Account) string {
	shell := cmp.Or(a.Shell, "/bin/sh")
	if f, err := os.Open("/etc/passwd"); err == nil {
		defer f.Close()
		shell = cmp.Or(passwdShell(f, a.Name), shell)
	}
	return shell
}

// passwdShell returns the login shell that a passwd file names for a user, or
// "" if it names none.
func passwdShell(r io.Reader, name string) string {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 7 && fields[0] == name {
			return fields[6]
		}
	}
	return ""
}

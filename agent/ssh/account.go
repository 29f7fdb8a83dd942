package ssh

import (
	"bufio"
	"io"
	"os"
	"os/user"
	"strings"
)

// Account is what a login needs to know of a user.
type Account struct {
	Name, Home, Shell string
}

// fallbackShell is there on every Unix.
const fallbackShell = "/bin/sh"

// CurrentAccount returns the account of this process. A container often has no
// entry for it; then the environment and the safest guesses serve. Where several
// agents share an account, ADIT_AGENT_HOME gives each a home of its own.
func CurrentAccount() Account {
	a := Account{Name: os.Getenv("USER"), Home: os.Getenv("HOME"), Shell: os.Getenv("SHELL")}
	if u, err := user.Current(); err == nil {
		a.Name, a.Home = u.Username, u.HomeDir
	}
	if home := os.Getenv("ADIT_AGENT_HOME"); home != "" {
		a.Home = home
	}
	if f, err := os.Open("/etc/passwd"); err == nil {
		defer f.Close()
		if shell := passwdShell(f, a.Name); shell != "" {
			a.Shell = shell
		}
	}
	if a.Shell == "" {
		a.Shell = fallbackShell
	}
	if info, err := os.Stat(a.Home); err != nil || !info.IsDir() {
		a.Home = "/"
	}
	return a
}

// directory returns where a session begins.
func (s *Server) directory() string {
	if info, err := os.Stat(s.cfg.Dir); s.cfg.Dir != "" && err == nil && info.IsDir() {
		return s.cfg.Dir
	}
	return s.cfg.Account.Home
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

package ssh

import (
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Account is what a login needs to know of a user.
type Account struct {
	Name, Home, Shell string
}

// CurrentAccount returns the account of this process. A container often has no
// entry for it; then the environment and the safest guesses serve. Where several
// agents share an account, ADIT_AGENT_HOME gives each a home of its own.
func CurrentAccount() Account {
	a := Account{Name: os.Getenv("USER"), Home: os.Getenv("HOME"), Shell: os.Getenv("SHELL")}
	if u, err := user.Current(); err == nil {
		a.Name, a.Home = u.Username[strings.LastIndexByte(u.Username, '\\')+1:], u.HomeDir // of Windows, without the domain
	}
	if home := os.Getenv("ADIT_AGENT_HOME"); home != "" {
		a.Home = home
	}
	if a.Name == "" { // programs look for some name
		a.Name = strconv.Itoa(os.Getuid())
	}
	a.Shell = loginShell(a)
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

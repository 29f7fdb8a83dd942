package ssh

import "os/exec"

// loginShell is the shell that an account logs in with: what the environment says
// if Windows finds it, which is not so of a Unix path that a shell brought along,
// else what every Windows has. It takes commands after "-c", as shells of Unix do.
func loginShell(a Account) string {
	if _, err := exec.LookPath(a.Shell); err == nil {
		return a.Shell
	}
	return "powershell.exe"
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

// The lines that fence adit's part of an OpenSSH configuration.
const (
	sshFenceBegin = "# BEGIN adit: written by 'adit config-ssh', edits here are lost"
	sshFenceEnd   = "# END adit"
)

func newConfigSSHCmd(a *app) *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "config-ssh", Short: "Make OpenSSH reach workspaces as WS.adit", Args: args(cobra.NoArgs),
		Example: `  adit config-ssh
  ssh dev.adit; scp notes.txt dev.adit:; code --remote ssh-remote+dev.adit .`,
		Long: `Write a "Host *.adit" block into the OpenSSH configuration, so that ssh, scp,
rsync and editors reach workspaces by name. Everything else in the file stays.`,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				home, err := os.UserHomeDir()
				if err != nil {
					return fmt.Errorf("find the home directory: %w", err)
				}
				file = filepath.Join(home, ".ssh", "config")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			old, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("read %s: %w", file, err)
			}
			updated, err := replaceFenced(string(old), sshBlock(self, a.configDir))
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if dryRun {
				_, err := fmt.Fprint(a.out, updated)
				return err
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				return fmt.Errorf("write %s: %w", file, err)
			}
			if err := writeFileAtomic(file, []byte(updated), 0o600); err != nil {
				return fmt.Errorf("write %s: %w", file, err)
			}
			_, err = fmt.Fprintf(a.out, "Wrote %s. Try: ssh WS.adit\n", file)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "ssh-config-file", "", "file to write (default: ~/.ssh/config)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the file instead of writing it")
	return cmd
}

// sshBlock is the fenced part. The ProxyCommand writes the workspace's host key,
// which the coordinator vouches for, where OpenSSH then finds it: nobody is asked,
// and another key is an error.
func sshBlock(program, configDir string) string {
	return strings.Join([]string{
		sshFenceBegin,
		"Host *.adit",
		fmt.Sprintf("    ProxyCommand %s --config-dir %s ssh --stdio %%h", sshQuote(program), sshQuote(configDir)),
		"    User adit",
		"    StrictHostKeyChecking yes",
		fmt.Sprintf("    UserKnownHostsFile \"%s\"", strings.ReplaceAll(filepath.ToSlash(filepath.Join(configDir, knownHosts)), "%", "%%")),
		// What costs both ends least; everything is sealed by WireGuard, too.
		"    Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr",
		"    UpdateHostKeys no",
		"    CheckHostIP no",
		"    LogLevel ERROR",
		sshFenceEnd,
		"",
	}, "\n")
}

// sshQuote quotes a word for the shell that OpenSSH runs a ProxyCommand with,
// and its own percent signs.
func sshQuote(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if runtime.GOOS == "windows" {
		return `"` + s + `"` // no path there has a quotation mark
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

var errFence = errors.New("the line " + sshFenceBegin + " has no " + sshFenceEnd + " after it; mend that by hand")

// replaceFenced puts block in place of the fenced part of old, or in front of
// it all: in an OpenSSH configuration the first match wins.
func replaceFenced(old, block string) (string, error) {
	before, rest, found := strings.Cut(old, sshFenceBegin)
	if !found {
		if old != "" {
			block += "\n"
		}
		return block + old, nil
	}
	_, after, ok := strings.Cut(rest, sshFenceEnd)
	if !ok {
		return "", errFence
	}
	return before + block + strings.TrimPrefix(after, "\n"), nil
}

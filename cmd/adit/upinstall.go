package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// unitName is what systemd calls the daemon.
const unitName = "adit-up.service"

// unitFile is where systemd looks for what an administrator adds.
const unitFile = "/etc/systemd/system/" + unitName

// systemdRuns is there if systemd starts this machine's services.
const systemdRuns = "/run/systemd/system"

// unit is what systemd is to do: run program with the arguments.
func unit(program string, args []string) string {
	command := []string{quoteUnit(program)}
	for _, a := range args {
		command = append(command, quoteUnit(a))
	}
	return `[Unit]
Description=Workspaces on this machine's network, by adit up
Wants=network-online.target
After=network-online.target systemd-resolved.service

[Service]
Type=notify
ExecStart=` + strings.Join(command, " ") + `
Restart=on-failure
RestartSec=2
RuntimeDirectory=adit
RuntimeDirectoryPreserve=yes

[Install]
WantedBy=multi-user.target
`
}

// quoteUnit writes an argument as a unit's command line has it.
func quoteUnit(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(s)
	return `"` + s + `"`
}

// install has systemd run the daemon now and at every start of the machine, with the
// flags of this command line.
func install(ctx context.Context, a *app, cmd *cobra.Command) error {
	// sd_booted(3): its programs may be there though something else starts the services.
	if _, err := os.Stat(systemdRuns); err != nil {
		return errors.New("--install needs systemd; have whatever starts this machine's services run 'adit up'")
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("--install: %w", err)
	}
	dir, err := filepath.Abs(a.configDir)
	if err != nil {
		return fmt.Errorf("--install: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "session.json")); err != nil {
		return fmt.Errorf("--install needs a session that is kept, and there is none in %s; run 'adit login URL' first", dir)
	}
	err = os.WriteFile(unitFile, []byte(unit(program, installedArgs(cmd, dir))), 0o644)
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("--install needs root; try 'sudo adit up --install'")
	}
	if err != nil {
		return fmt.Errorf("--install: %w", err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", unitName}, {"restart", unitName}} {
		if err := systemctl(ctx, args...); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.out, "adit is up, and will be whenever this machine starts; 'systemctl status %s' shows it, 'adit up --uninstall' ends it\n", unitName)
	return err
}

// installedArgs are the arguments of the daemon that is installed by a command line.
func installedArgs(cmd *cobra.Command, configDir string) []string {
	args := []string{"up", "--config-dir", configDir}
	cmd.Flags().Visit(func(f *pflag.Flag) { // those that were given
		switch f.Name {
		case "background", "install", "uninstall", "config-dir", "token", "output": // of this run alone; the token is in the session
		default:
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// uninstall takes back what install did.
func uninstall(ctx context.Context, a *app) error {
	if _, err := os.Stat(unitFile); errors.Is(err, fs.ErrNotExist) {
		_, err := fmt.Fprintln(a.out, "adit up is not installed")
		return err
	}
	if err := systemctl(ctx, "disable", "--now", unitName); err != nil {
		return err
	}
	if err := os.Remove(unitFile); err != nil {
		return fmt.Errorf("--uninstall: %w", err)
	}
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, "adit is down, and stays so")
	return err
}

func systemctl(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/tunnel/daemon"
	"github.com/aditmesh/adit/tunnel/hostnet"
)

type upFlags struct {
	socket, ifc, suffix string
	dns                 bool
}

func newUpCmd(a *app) *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Bring every workspace onto this machine's network, by name",
		Long: `Bring every workspace onto this machine's network, by name, until 'adit down' or an
interrupt. Needs root, or CAP_NET_ADMIN.

A tunnel is made when a name is looked up or a packet sent, and goes when nobody
uses it any more.`,
		Example: `  sudo adit up
  ssh dev.adit                       # WS.adit, WS.OWNER.adit or AGENT.WS.OWNER.adit
  curl http://api.dev.alice.adit:8080`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), a, f) },
	}
	a.pathFlags(cmd)
	socketFlag(cmd, &f.socket)
	cmd.Flags().StringVar(&f.ifc, "interface", hostnet.DefaultName, "name of the interface to make")
	cmd.Flags().StringVar(&f.suffix, "suffix", daemon.DefaultSuffix, "what the workspaces' names end in")
	cmd.Flags().BoolVar(&f.dns, "dns", true, "have this machine look the workspaces' names up")
	return cmd
}

// socketFlag adds the flag by which a daemon is found.
func socketFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "socket", os.Getenv(daemon.SocketEnv), "socket of the daemon (env "+daemon.SocketEnv+"; default: the system's, or the user's, own place)")
}

func up(ctx context.Context, a *app, f upFlags) error {
	if !isSuffix(f.suffix) {
		return usagef("--suffix %q: want DNS labels of lower-case letters, digits and hyphens", f.suffix)
	}
	who := invoker()
	if who != nil {
		a.useSessionOf(who)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	cfg := daemon.Config{
		Client: c, Socket: f.socket, Users: []int{os.Getuid()}, Interface: f.ifc, Suffix: f.suffix, NoDNS: !f.dns,
		Path: a.path, Version: version, Logger: a.logger(slog.LevelWarn),
		Ready: func(s daemon.Status) {
			fmt.Fprintf(a.out, "adit is up: interface %s, address %s, workspaces as NAME.%s, %d agents to reach\n", s.Interface, s.Self.Address, s.Suffix, len(s.Peers))
		},
	}
	if who != nil {
		cfg.Users = []int{atoi(who.Uid)}
	}
	if cfg.Socket == "" {
		cfg.Socket = daemon.DefaultSocket()
	}
	err = daemon.Run(ctx, cfg)
	switch {
	case errors.Is(err, daemon.ErrUp):
		return alreadyUp(ctx, cfg.Socket)
	case errors.Is(err, hostnet.ErrNoTUN):
		return errors.New("this machine has no TUN device; load the kernel's module with 'modprobe tun', or give the container /dev/net/tun")
	case errors.Is(err, hostnet.ErrPermission):
		return errors.New("making a network interface needs root or CAP_NET_ADMIN; try 'sudo adit up'")
	case errors.Is(err, hostnet.ErrTaken):
		return fmt.Errorf("there is an interface %s that is not ours; choose another name with --interface", f.ifc)
	}
	return err
}

// alreadyUp says who is up.
func alreadyUp(ctx context.Context, socket string) error {
	s, err := daemon.NewClient(socket).Status(ctx)
	if err != nil {
		return errors.New("adit is up already, for another user; choose another --socket and --interface to be up beside it")
	}
	return fmt.Errorf("adit is up already (process %d, %s at %s); 'adit down' ends it", s.PID, s.User, s.URL)
}

// suffixes are what names may end in.
func isSuffix(s string) bool {
	return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`).MatchString(s)
}

// invoker returns who ran sudo, or nil.
func invoker() *user.User {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.LookupId(os.Getenv("SUDO_UID"))
	if err != nil || u.Uid == "0" {
		return nil
	}
	return u
}

// useSessionOf looks for the session where it is that of the user who ran sudo,
// unless something else is said, or root has one.
func (a *app) useSessionOf(u *user.User) {
	if a.configDir != defaultConfigDir() || os.Getenv("ADIT_CONFIG_DIR") != "" {
		return
	}
	if s, err := a.loadSession(); err == nil && s.Token == "" {
		a.configDir = filepath.Join(u.HomeDir, ".config", "adit")
	}
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

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
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/tunnel/daemon"
	"github.com/aditmesh/adit/tunnel/hostnet"
)

type upFlags struct {
	socket, ifc, suffix string
	dns                 bool
	userspace           bool
	proxy               string
	background          bool
	install, uninstall  bool
}

func newUpCmd(a *app) *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Bring every workspace onto this machine's network, by name",
		Long: `Bring every workspace onto this machine's network, by name, until 'adit down' or an
interrupt. Needs root, or CAP_NET_ADMIN; with --userspace it needs neither, makes no
interface, and offers programs a proxy.

A tunnel is made when a name is looked up or a packet sent, and goes when nobody
uses it any more.`,
		Example: `  sudo adit up
  adit up --userspace                # then: curl -x socks5h://127.0.0.1:1080 http://dev.adit
  sudo adit up --install             # a unit of systemd's
  ssh dev.adit                       # WS.adit, WS.OWNER.adit or AGENT.WS.OWNER.adit
  curl http://api.dev.alice.adit:8080`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.uninstall {
				return uninstall(cmd.Context(), a)
			}
			if who := invoker(); who != nil {
				a.useSessionOf(who)
			}
			if f.install {
				return install(cmd.Context(), a, cmd)
			}
			return up(cmd.Context(), a, f)
		},
	}
	a.pathFlags(cmd)
	socketFlag(cmd, &f.socket)
	cmd.Flags().StringVar(&f.ifc, "interface", hostnet.DefaultName, "name of the interface to make")
	cmd.Flags().StringVar(&f.suffix, "suffix", daemon.DefaultSuffix, "what the workspaces' names end in")
	cmd.Flags().BoolVar(&f.dns, "dns", true, "have this machine look the workspaces' names up")
	cmd.Flags().BoolVar(&f.userspace, "userspace", false, "make no interface, but offer SOCKS5 and HTTP CONNECT at --proxy")
	cmd.Flags().StringVar(&f.proxy, "proxy", "127.0.0.1:1080", "where --userspace takes connections, of this user's programs alone")
	cmd.Flags().BoolVar(&f.background, "background", false, "return once it is up, and leave it running")
	cmd.Flags().BoolVar(&f.install, "install", false, "have systemd run it, now and whenever this machine starts, with the flags given")
	cmd.Flags().BoolVar(&f.uninstall, "uninstall", false, "take back what --install did")
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
	c, err := a.meshClient(ctx)
	if err != nil {
		return err
	}
	linksOf := ""
	if isOfWorkspace(c) {
		if !f.userspace {
			return errors.New("within a workspace, 'adit up --userspace' reaches what links of the policy lead to; an interface is for people who are signed in")
		}
		own, err := ownWorkspace(ctx, c)
		if err != nil {
			return err
		}
		linksOf = own.Owner
	}
	cfg := daemon.Config{
		Client: c, LinksOf: linksOf, Socket: f.socket, Users: []int{os.Getuid()}, Interface: f.ifc, Suffix: f.suffix, NoDNS: !f.dns,
		Path: a.path, Version: version, Logger: a.logger(slog.LevelWarn),
		Ready: func(s daemon.Status) {
			notifyReady()
			if s.Proxy != "" {
				reach := fmt.Sprintf("%d agents to reach", len(s.Peers))
				if linksOf != "" {
					reach = "as far as links of the policy lead"
				}
				fmt.Fprintf(a.out, "adit is up: SOCKS5 and HTTP at %s, workspaces as NAME.%s, %s\n", s.Proxy, s.Suffix, reach)
				return
			}
			fmt.Fprintf(a.out, "adit is up: interface %s, address %s, workspaces as NAME.%s, %d agents to reach\n", s.Interface, s.Self.Address, s.Suffix, len(s.Peers))
		},
	}
	if who := invoker(); who != nil {
		cfg.Users = []int{atoi(who.Uid)}
	}
	if f.userspace {
		cfg.Proxy = f.proxy
	}
	if cfg.Socket == "" {
		cfg.Socket = daemon.DefaultSocket()
	}
	if f.background {
		return background(ctx, a, cfg.Socket)
	}
	err = daemon.Run(ctx, cfg)
	if errors.Is(err, daemon.ErrUp) && replaceOther(ctx, cfg.Socket) {
		err = daemon.Run(ctx, cfg)
	}
	switch {
	case errors.Is(err, daemon.ErrUp):
		return alreadyUp(ctx, cfg.Socket)
	case errors.Is(err, hostnet.ErrNoTUN):
		return errors.New("this machine has no TUN device; load the kernel's module with 'modprobe tun', or give the container /dev/net/tun")
	case errors.Is(err, hostnet.ErrPermission):
		return errors.New("making a network interface needs root or CAP_NET_ADMIN; try 'sudo adit up', or 'adit up --userspace' for a proxy")
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is taken by another program; choose another place with --proxy", f.proxy)
	case errors.Is(err, hostnet.ErrTaken):
		return fmt.Errorf("there is an interface %s that is not ours; choose another name with --interface", f.ifc)
	}
	return err
}

// replaceOther ends a daemon of another version, whose place this one takes.
func replaceOther(ctx context.Context, socket string) bool {
	c := daemon.NewClient(socket)
	s, err := c.Status(ctx)
	if err != nil || s.Version == version {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	return c.Yield(ctx) == nil
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

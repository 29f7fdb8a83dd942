package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func newPortForwardCmd(a *app) *cobra.Command {
	var tcp []string
	cmd := &cobra.Command{
		Use: "port-forward WS", Short: "Reach a workspace's ports on this machine",
		Example: `  adit port-forward dev --tcp 8080:80       # localhost:8080 is port 80 of dev
  adit port-forward dev --tcp 3000,0.0.0.0:5432:5432`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			specs, err := parsePorts(tcp)
			if err != nil {
				return usageError{err}
			}
			return portForward(cmd.Context(), a, argv[0], specs)
		},
	}
	a.pathFlags(cmd)
	cmd.Flags().StringSliceVar(&tcp, "tcp", nil, "[BIND:]LOCAL[:REMOTE], a list or repeated")
	return cmd
}

// portSpec is one forwarded TCP port.
type portSpec struct {
	listen string // "host:port"
	remote uint16
}

// parsePorts reads the values of --tcp.
func parsePorts(specs []string) ([]portSpec, error) {
	if len(specs) == 0 {
		return nil, fmt.Errorf("name the ports with --tcp LOCAL:REMOTE")
	}
	var out []portSpec
	for _, s := range specs {
		p, err := parsePort(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parsePort reads "[BIND:]LOCAL[:REMOTE]". A REMOTE that is left out is LOCAL.
func parsePort(s string) (portSpec, error) {
	bad := fmt.Errorf("--tcp %q: want [BIND:]LOCAL[:REMOTE]", s)
	parts, err := splitColons(s)
	if err != nil || len(parts) > 3 {
		return portSpec{}, bad
	}
	bind := "127.0.0.1"
	if len(parts) == 3 || len(parts) == 2 && !isPort(parts[0]) {
		bind, parts = parts[0], parts[1:]
	}
	remote := parts[len(parts)-1]
	if !isPort(parts[0]) || !isPort(remote) || strings.ContainsAny(bind, " \t\r\n") {
		return portSpec{}, bad
	}
	n, _ := strconv.ParseUint(remote, 10, 16) // isPort
	return portSpec{listen: net.JoinHostPort(bind, parts[0]), remote: uint16(n)}, nil
}

func portForward(ctx context.Context, a *app, name string, specs []portSpec) error {
	ctx, cancel := context.WithCancel(ctx)
	fs := &forwards{cancel: cancel}
	defer fs.Close()
	// Ports that are taken are told before anything is waited for.
	for _, spec := range specs {
		l, err := net.Listen("tcp", spec.listen)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; choose another local port", spec.listen, err)
		}
		fs.listeners = append(fs.listeners, l)
	}
	t, err := a.connect(ctx, name, connectTimeout)
	if err != nil {
		return err
	}
	defer t.node.Close()
	defer fs.Close() // before the node
	log := a.logger(slog.LevelInfo)
	for i, l := range fs.listeners {
		to := netip.AddrPortFrom(t.addr, specs[i].remote)
		fmt.Fprintf(a.out, "Forwarding %s to port %d of %s\n", l.Addr(), specs[i].remote, t.name)
		fs.wg.Go(func() {
			fs.accept(l, func(conn net.Conn) {
				far, err := t.node.DialTCP(ctx, to)
				if err != nil {
					log.Warn("connection refused by the workspace", "port", to.Port(), "err", err)
					conn.Close()
					return
				}
				joinConns(ctx, conn, far)
			})
		})
	}
	select {
	case <-ctx.Done():
		return nil
	case <-t.node.Done():
		return fmt.Errorf("workspace %s: %w", t.name, t.node.Err())
	}
}

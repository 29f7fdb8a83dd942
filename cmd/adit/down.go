package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/tunnel/daemon"
	"github.com/aditmesh/adit/tunnel/hostnet"
)

// downTimeout is how long a daemon may take to end.
const downTimeout = 15 * time.Second

func newDownCmd(a *app) *cobra.Command {
	var socket, suffix string
	cmd := &cobra.Command{
		Use: "down", Short: "End 'adit up', and leave nothing of it behind",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return down(cmd.Context(), a, socket, suffix) },
	}
	socketFlag(cmd, &socket)
	cmd.Flags().StringVar(&suffix, "suffix", daemon.DefaultSuffix, "what the workspaces' names ended in, if the daemon was killed")
	return cmd
}

func down(ctx context.Context, a *app, socket, suffix string) error {
	sockets := daemon.Sockets()
	if socket != "" {
		sockets = []string{socket}
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	for _, s := range sockets {
		err := daemon.NewClient(s).Down(ctx)
		if errors.Is(err, daemon.ErrNotUp) {
			continue
		}
		if err == nil {
			_, err = fmt.Fprintln(a.out, "adit is down")
		}
		return err
	}
	// One that was killed had not the time to clean up.
	if err := hostnet.RestoreResolver(suffix); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, "adit is not up")
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// loginBrowser signs in with whatever ways the coordinator has, in a browser:
// the one here, or any other, as on a machine that has none.
func loginBrowser(ctx context.Context, a *app, c *sdk.Client) error {
	if b, err := c.BuildInfo(ctx); err != nil {
		return fmt.Errorf("sign in to %s: %w", c.URL().Redacted(), err)
	} else if !b.HasUsers {
		return errors.New("this deployment has no users yet; make the first with --first-user --email E")
	}
	d, err := c.LoginDevice(ctx)
	if err != nil {
		return fmt.Errorf("sign in to %s: %w", c.URL().Redacted(), err)
	}
	fmt.Fprintf(a.err, "Open %s\nand let this command line in if it shows the code %s there.\n", foreign.Printable(d.URL), foreign.Printable(d.UserCode))
	if u, err := parseURL(d.URL); err == nil { // and nothing else that a desktop would open
		openBrowser(ctx, u.String())
	}
	s, err := awaitLogin(ctx, c, d)
	if err != nil {
		return fmt.Errorf("sign in to %s: %w", c.URL().Redacted(), err)
	}
	return a.signedIn(c, s)
}

// awaitLogin asks until somebody has let this command line in, or turned it
// away, or it is too late.
func awaitLogin(ctx context.Context, c *sdk.Client, d sdk.DeviceLogin) (sdk.Session, error) {
	tick := time.NewTicker(time.Duration(max(d.Interval, 1)) * time.Second)
	defer tick.Stop()
	for {
		s, err := c.LoginDeviceToken(ctx, d.DeviceCode)
		var refused *sdk.Error
		switch {
		case err == nil && s.Session != nil:
			return *s.Session, nil
		case errors.As(err, &refused) && refused.Status < 500 && refused.Status != 429:
			return sdk.Session{}, err
		}
		// Else nobody has yet, or the coordinator is away for a moment.
		select {
		case <-ctx.Done():
			return sdk.Session{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// openBrowser tries to; who has none reads what to open.
func openBrowser(ctx context.Context, url string) {
	var cmd *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		cmd = exec.CommandContext(ctx, "open", url)
	case runtime.GOOS == "windows":
		cmd = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", url)
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		cmd = exec.CommandContext(ctx, "xdg-open", url)
	default:
		return
	}
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }() // ends with the opener
	}
}

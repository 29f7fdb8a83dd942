package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

// desktopApps are programs of one's own machine that reach a workspace by SSH, and
// how they are told to: by the host name that config-ssh makes, and a directory
// there, which may be "".
var desktopApps = map[string]func(host, dir string) string{
	"vscode":          func(host, dir string) string { return vscodeLink("vscode", host, dir) },
	"vscode-insiders": func(host, dir string) string { return vscodeLink("vscode-insiders", host, dir) },
	"cursor":          func(host, dir string) string { return vscodeLink("cursor", host, dir) },
	"jetbrains": func(host, dir string) string {
		q := url.Values{"type": {"ssh"}, "host": {host}, "user": {"adit"}, "port": {"22"}, "deploy": {"true"}}
		if dir != "" {
			q.Set("projectPath", dir)
		}
		return "jetbrains-gateway://connect#" + q.Encode()
	},
	"zed": func(host, dir string) string {
		return (&url.URL{Scheme: "zed", Host: "ssh", Path: "/adit@" + host + dir}).String()
	},
}

func vscodeLink(scheme, host, dir string) string {
	return (&url.URL{Scheme: scheme, Host: "vscode-remote", Path: "/ssh-remote+" + host + dir}).String()
}

func newOpenCmd(a *app) *cobra.Command {
	var dir string
	var show bool
	cmd := &cobra.Command{
		Use: "open WS [APP]", Short: "Open a workspace in an editor, or one of its apps in a browser",
		Long: `Open a workspace in an editor of this machine, or one of its apps in a browser.

APP is vscode (the default without apps), vscode-insiders, cursor, jetbrains or
zed, which reach the workspace through the block that 'adit config-ssh' writes; or
an app of the template's, whose port is forwarded for as long as this runs.`,
		Example: `  adit open dev vscode
  adit open dev vscode --dir /home/dev/project
  adit open dev zed --print
  adit open dev code-server`,
		Args: args(cobra.RangeArgs(1, 2)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			ctx := cmd.Context()
			c, err := a.client()
			if err != nil {
				return err
			}
			w, name, err := findWorkspace(ctx, c, argv[0])
			if err != nil {
				return err
			}
			apps, err := c.WorkspaceApps(ctx, w.Owner, w.Name)
			if err != nil {
				return err
			}
			what, err := chooseApp(apps, argv[1:])
			if err != nil {
				return err
			}
			if link, ok := desktopApps[what]; ok && !hasApp(apps, what) {
				host, err := sshHost(name)
				if err != nil {
					return err
				}
				if dir != "" && !strings.HasPrefix(dir, "/") {
					return usagef("--dir %q: want an absolute path in the workspace", dir)
				}
				agent, err := w.Agent(name)
				if err != nil {
					return err
				}
				if dir == "" && strings.HasPrefix(agent.Directory, "/") {
					dir = agent.Directory
				}
				return openLink(ctx, a, link(host, dir), show)
			}
			i := slices.IndexFunc(apps, func(s sdk.WorkspaceApp) bool { return s.Slug == what })
			return openApp(ctx, a, argv[0], apps[i], show)
		},
	}
	a.pathFlags(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "directory in the workspace that an editor opens (default: where sessions begin)")
	cmd.Flags().BoolVar(&show, "print", false, "print the link and open nothing")
	return cmd
}

func hasApp(apps []sdk.WorkspaceApp, slug string) bool {
	return slices.ContainsFunc(apps, func(s sdk.WorkspaceApp) bool { return s.Slug == slug })
}

// chooseApp returns what is to be opened: what was asked for, or the only app.
func chooseApp(apps []sdk.WorkspaceApp, asked []string) (string, error) {
	if len(asked) == 0 {
		switch len(apps) {
		case 0:
			return "vscode", nil
		case 1:
			return apps[0].Slug, nil
		}
	} else if _, ok := desktopApps[asked[0]]; ok || hasApp(apps, asked[0]) {
		return asked[0], nil
	}
	var names []string
	for _, s := range apps {
		names = append(names, oneLine(s.Slug))
	}
	for name := range desktopApps {
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(asked) == 0 {
		return "", usagef("name what to open: %s", strings.Join(names, ", "))
	}
	return "", usagef("there is no app %s; there are %s", asked[0], strings.Join(names, ", "))
}

// sshHost is what a workspace is called in OpenSSH's configuration.
func sshHost(name sdk.WorkspaceName) (string, error) {
	if name.Owner != "me" {
		return "", fmt.Errorf("editors reach your own workspaces only, for a host name has no owner in it yet; use 'adit ssh %s'", name)
	}
	return name.String() + meshSuffix, nil
}

func openLink(ctx context.Context, a *app, link string, show bool) error {
	if !show {
		openBrowser(ctx, link) // whatever the desktop has for the scheme
	}
	_, err := fmt.Fprintln(a.out, link)
	return err
}

// openApp opens an app in a browser. One that the workspace alone reaches is
// forwarded until ctx ends.
func openApp(ctx context.Context, a *app, workspace string, s sdk.WorkspaceApp, show bool) error {
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("app %s has no URL to open", s.Slug)
	}
	if s.State == sdk.AppUnhealthy {
		fmt.Fprintf(a.err, "App %s is not well: %s\n", s.Slug, oneLine(s.Why))
	}
	if !slices.Contains([]string{"localhost", "127.0.0.1", "::1", "0.0.0.0"}, u.Hostname()) {
		return openLink(ctx, a, u.String(), show)
	}
	number := u.Port()
	if number == "" {
		number = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if !isPort(number) {
		return fmt.Errorf("app %s has the URL %.100q, whose port is none", s.Slug, s.URL)
	}
	spec := portSpec{listen: endpoint{host: "127.0.0.1"}, to: endpoint{port: portNumber(number)}}
	return forwardPorts(ctx, a, workspace, []portSpec{spec}, false, func(f *portForwarder) error {
		_, local, err := net.SplitHostPort(f.listeners[0].Addr().String())
		if err != nil {
			return err
		}
		u.Host = net.JoinHostPort("localhost", local)
		return openLink(ctx, a, u.String(), show)
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel/path"
)

// Exit codes; ssh returns the remote command's instead.
const (
	exitFailed = 1
	exitUsage  = 2
)

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// app is what commands share: streams and the global flags.
type app struct {
	streams
	url, token string
	configDir  string
	output     string
	verbose    bool
	path       path.Options // of commands with pathFlags
}

// exitError ends the process with a code and no message: a remote command's
// own, or one whose message is already out.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a command line that cannot be.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run runs one command line and returns the exit code.
func run(ctx context.Context, s streams, args []string) int {
	root := newRoot(&app{streams: s})
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var exit exitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	fmt.Fprintf(s.err, "%s: %s\n", cmd.CommandPath(), oneLine(explain(err)))
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(s.err, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "adit",
		Short: "Reach your development workspaces directly, peer to peer",
		Long: `adit connects people to their development workspaces over a WireGuard mesh:
directly where a direct path exists, over a relay while none does.`,
		Example: `  adit login https://adit.example.com
  adit create dev --template process
  adit ssh dev
  adit status                    # paths, and why one is not direct`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", os.Getenv("ADIT_URL"), "coordinator's URL (env ADIT_URL)")
	flags.StringVar(&a.token, "token", "", "API token (env ADIT_TOKEN)")
	flags.StringVar(&a.configDir, "config-dir", defaultConfigDir(), "where the session is kept (env ADIT_CONFIG_DIR)")
	flags.StringVarP(&a.output, "output", "o", "table", "output format: table or json")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log what happens to stderr")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "table" && a.output != "json" {
			return usagef("--output %q: want table or json", a.output)
		}
		return nil
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serverRoles(a)...)
	root.AddCommand(
		newAgentCmd(a),
		newLoginCmd(a), newLogoutCmd(a), newTokensCmd(a),
		newUsersCmd(a), newGroupsCmd(a), newOrganizationsCmd(a),
		newCreateCmd(a), newListCmd(a), newShowCmd(a), newStatsCmd(a), newScriptsCmd(a), newGitCredentialsCmd(a), newDotfilesCmd(a), newGitCredentialCmd(a), newDeleteCmd(a), newRenameCmd(a),
		newShareCmd(a), newUnshareCmd(a), newSharesCmd(a), newScheduleCmd(a), newFavouriteCmd(a), newQuotasCmd(a), newTransferCmd(a),
		newStartCmd(a), newStopCmd(a), newRestartCmd(a), newUpdateCmd(a),
		newBuildsCmd(a), newCancelCmd(a), newLogsCmd(a), newStateCmd(a),
		newTemplatesCmd(a), newProvisionersCmd(a), newRelaysCmd(a), newPolicyCmd(a), newAuditCmd(a), newWebhooksCmd(a),
		newSSHCmd(a), newCpCmd(a), newSessionsCmd(a), newConfigSSHCmd(a), newPortForwardCmd(a), newPortsCmd(a), newAppsCmd(a), newOpenCmd(a), newSelfCmd(a),
		newUpCmd(a), newDownCmd(a), newPingCmd(a), newSpeedtestCmd(a), newStatusCmd(a), newNetcheckCmd(a),
		newVersionCmd(a), newHealthCmd(a), newSupportBundleCmd(a), newLoadtestCmd(a),
		newServeFilesCmd(a), newProcessSupervisorCmd(a), newContainerSupervisorCmd(a),
	)
	helpful(root)
	return root
}

// helpful has commands that only group others show what there is, and refuse
// what there is not.
func helpful(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		helpful(c)
	}
	if !cmd.HasSubCommands() || cmd.Runnable() {
		return
	}
	cmd.Args = func(_ *cobra.Command, argv []string) error {
		if len(argv) > 0 {
			return usagef("unknown command %q", argv[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// args makes a positional-argument check a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if err := check(cmd, got); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func defaultConfigDir() string {
	if dir := os.Getenv("ADIT_CONFIG_DIR"); dir != "" {
		return dir
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ".adit"
	}
	return filepath.Join(dir, "adit")
}

// errNotSignedIn is the absence of a session.
var errNotSignedIn = errors.New("not signed in; run 'adit login URL' first, or set ADIT_URL and ADIT_TOKEN")

// client returns a client with the session in force: flags, then environment,
// then what login saved.
func (a *app) client() (*sdk.Client, error) {
	saved, err := a.loadSession()
	if err != nil {
		return nil, err
	}
	base, token := a.url, a.token
	if token == "" {
		token = os.Getenv("ADIT_TOKEN")
	}
	if base == "" {
		base = saved.URL
	}
	if token == "" && base == saved.URL {
		token = saved.Token // never send it to another coordinator
	}
	if base == "" || token == "" {
		return nil, errNotSignedIn
	}
	u, err := parseURL(base)
	if err != nil {
		return nil, err
	}
	return sdk.New(u, token), nil
}

// parseURL reads a coordinator's URL; without a scheme it is https.
func parseURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("URL %q: want http://HOST[:PORT] or https://HOST[:PORT]", s)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// explain adds what to try to errors that people meet.
func explain(err error) string {
	if errors.Is(err, rpc.ErrUnauthorized) || errors.Is(err, sdk.ErrUnauthorized) {
		return "the coordinator does not accept the token: wrong, expired or revoked; run 'adit login URL'"
	}
	return err.Error()
}

// oneLine keeps an error on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(foreign.Printable(s)), " ") }

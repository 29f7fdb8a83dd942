package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent"
	"github.com/aditmesh/adit/agent/instance"
	"github.com/aditmesh/adit/agent/priority"
	"github.com/aditmesh/adit/agent/ssh"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/pkg/rpc"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/daemon"
)

func newAgentCmd(a *app) *cobra.Command {
	var tokenFile, auth, metadataURL string
	var statsEvery time.Duration
	var allowUpdate bool
	var suffixes []string
	cmd := &cobra.Command{
		Use: "agent", Short: "Run the agent of a workspace on this host",
		Example: `  adit agent --url https://adit.example.com --token-file /etc/adit/agent.token
  ADIT_URL=https://adit.example.com ADIT_AGENT_TOKEN=adit_agent_… adit agent
  adit agent --url https://adit.example.com --auth aws-instance-identity`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.url == "" {
				return usagef("name the coordinator with --url or ADIT_URL")
			}
			u, err := parseURL(a.url)
			if err != nil {
				return err
			}
			a.token = strings.Clone(a.token) // what is hidden is the very text of the argument
			// An agent that may not is of use all the same. It is done before memory is
			// hidden, which takes from it what there is in /proc.
			raised, err := priority.Raise()
			if err != nil {
				a.logger(slog.LevelInfo).Info("the agent is not raised over the programs of the workspace as it might be", "err", err)
			}
			// Not every kernel lets it, and an agent is of use without.
			if err := hideFromUser(); err != nil {
				a.logger(slog.LevelInfo).Warn("programs of the agent's own user may see its token", "err", err)
			}
			token, err := signIn(cmd.Context(), a, u, auth, metadataURL, tokenFile)
			if err != nil {
				if cmd.Context().Err() != nil {
					return nil // ended while it waited
				}
				return err
			}
			handed, err := takeOver()
			if err != nil {
				a.logger(slog.LevelInfo).Warn("what the agent before this one left is lost", "err", err)
			}
			err = agent.Run(cmd.Context(), agent.Config{
				URL: u, Token: token, Version: version, Logger: a.logger(slog.LevelInfo), Path: a.path, StatsEvery: statsEvery, Start: raised.Start,
				AllowUpdate: allowUpdate, Handover: handed, Suffixes: suffixes,
			})
			var updated *agent.Updated
			switch {
			case errors.As(err, &updated):
				return raised.Lowered(func() error { return becomeUpdated(token, updated.Handover) })
			case errors.Is(err, rpc.ErrUnauthorized):
				return errors.New("the coordinator does not accept this agent token: wrong, or its workspace is deleted; 'adit create NAME --external' makes a new one")
			case errors.Is(err, tunnel.ErrReplaced):
				return errors.New("another agent connected with this token and took this one's place; run one agent a workspace, or make another workspace")
			case errors.Is(err, tunnel.ErrRevoked):
				return errors.New("the workspace was deleted; this agent has nothing left to serve")
			}
			return err
		},
	}
	a.pathFlags(cmd)
	cmd.AddCommand(newAgentUpdateCmd(a))
	cmd.Flags().StringSliceVar(&suffixes, "suffix", strings.Split(envOr("ADIT_AGENT_SUFFIX", daemon.DefaultSuffix), ","), "what names of workspaces end in for people, as --suffix of 'adit up' has it")
	cmd.Flags().BoolVar(&allowUpdate, "allow-update", os.Getenv("ADIT_AGENT_ALLOW_UPDATE") == "1", "let people have the agent replace its program by its coordinator's")
	cmd.Flags().StringVar(&tokenFile, "token-file", os.Getenv("ADIT_AGENT_TOKEN_FILE"), "file that holds the agent's token")
	auths := []string{sdk.AuthToken, sdk.AuthAWS, sdk.AuthGoogle, sdk.AuthAzure}
	cmd.Flags().StringVar(&auth, "auth", envOr("ADIT_AGENT_AUTH", sdk.AuthToken), "how the agent comes by its token: "+strings.Join(auths, ", "))
	cmd.Flags().StringVar(&metadataURL, "metadata-url", os.Getenv("ADIT_METADATA_URL"), "metadata service that --auth asks (default: the cloud's)")
	cmd.Flags().DurationVar(&statsEvery, "stats-interval", stats.Every, "how often the agent reports what it did and used")
	return cmd
}

// newServeFilesCmd is for the agent, which starts one for each session of SFTP.
func newServeFilesCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: agent.ServeFilesCommand, Short: "Serve SFTP on standard input and output", Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return ssh.ServeFiles(os.Stdin, os.Stdout) },
	}
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// signIn returns the agent's token: the one it is given, or what the instance that
// it runs on is worth.
func signIn(ctx context.Context, a *app, u *url.URL, auth, metadataURL, tokenFile string) (string, error) {
	switch auth {
	case sdk.AuthToken:
		return roleToken("agent", a.token, tokenFile, "ADIT_AGENT_TOKEN", "'adit create NAME --external' prints it")
	case sdk.AuthAWS, sdk.AuthGoogle, sdk.AuthAzure:
		return instance.Token(ctx, instance.Config{Auth: auth, Metadata: metadataURL, URL: u, Logger: a.logger(slog.LevelInfo)})
	}
	return "", usagef("--auth %s: use %s, %s, %s or %s", auth, sdk.AuthToken, sdk.AuthAWS, sdk.AuthGoogle, sdk.AuthAzure)
}

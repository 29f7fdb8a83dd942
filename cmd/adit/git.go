package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent/content"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxSecret bounds a password on standard input.
const maxSecret = 4 << 10

func newGitCredentialsCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "git-credentials", Short: "Manage what your workspaces show to git servers",
		Long: `The coordinator keeps a name and a password, or better a token, for each git
server, sealed. Git in your workspaces gets it from the agent when it needs one;
nobody can read it here again. Whoever can open a shell in one of your workspaces
can use it there. A template's webhook that you made shows it to its repository.`,
		Example: `  adit git-credentials set https://github.com --username alice --password-stdin < token
  adit git-credentials list`,
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List them, without the passwords", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			all, err := c.GitCredentials(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(all, func(w io.Writer) error {
				var rows [][]string
				for _, g := range all {
					rows = append(rows, []string{g.Origin, oneLine(g.Username), ago(&g.CreatedAt), ago(g.UsedAt)})
				}
				return writeTable(w, []string{"SERVER", "USER", "SET", "LAST USED"}, rows)
			})
		},
	}
	var username string
	var stdin bool
	set := &cobra.Command{
		Use: "set URL", Short: "Keep one for a server, in the place of what there was", Args: args(cobra.ExactArgs(1)),
		Example: `  adit git-credentials set https://github.com --username alice --password-stdin < token`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if username == "" || !stdin {
				return usagef("give --username, and the password with --password-stdin")
			}
			raw, err := io.ReadAll(io.LimitReader(a.in, maxSecret+1))
			if err != nil {
				return fmt.Errorf("read the password: %w", err)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return c.SetGitCredential(cmd.Context(), sdk.SetGitCredential{Origin: argv[0], Username: username, Password: strings.TrimRight(string(raw), "\r\n")})
		},
	}
	set.Flags().StringVar(&username, "username", "", "who you are there; some servers take any name beside a token")
	set.Flags().BoolVar(&stdin, "password-stdin", false, "read the password, or token, from standard input")
	remove := &cobra.Command{
		Use: "delete URL", Short: "Forget the one for a server", Args: args(cobra.ExactArgs(1)), Example: "  adit git-credentials delete https://github.com",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			err = c.DeleteGitCredential(cmd.Context(), argv[0])
			if errors.Is(err, sdk.ErrNotFound) {
				return fmt.Errorf("there is none for %s; 'adit git-credentials list' shows them", argv[0])
			}
			return err
		},
	}
	cmd.AddCommand(list, set, remove)
	return cmd
}

func newDotfilesCmd(a *app) *cobra.Command {
	var ref string
	cmd := &cobra.Command{
		Use: "dotfiles [URL]", Short: "Say which repository makes your workspaces yours, or show it", Args: args(cobra.MaximumNArgs(1)),
		Long: `When one of your workspaces starts, its agent clones the repository into ~/.dotfiles
and runs its install.sh, or links its files into the home directory where nothing
is in their place. An empty URL ends that.`,
		Example: `  adit dotfiles https://github.com/alice/dotfiles
  adit dotfiles ""`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if len(argv) == 1 {
				return c.SetDotfiles(cmd.Context(), sdk.Dotfiles{URL: argv[0], Ref: ref})
			}
			d, err := c.Dotfiles(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(d, func(w io.Writer) error {
				if d.URL == "" {
					_, err := fmt.Fprintln(w, "You have named no dotfiles: adit dotfiles URL")
					return err
				}
				_, err := fmt.Fprintln(w, oneLine(d.URL+" "+d.Ref))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&ref, "ref", "", "a branch or a tag (default: the repository's own)")
	return cmd
}

// newGitCredentialCmd is what git runs in a workspace.
func newGitCredentialCmd(a *app) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "git-credential ACTION", Short: "Answer git from what the agent gets for it", Args: args(cobra.ExactArgs(1)), Hidden: true,
		RunE: func(cmd *cobra.Command, argv []string) error {
			return content.Help(cmd.Context(), socket, argv[0], a.in, a.out, a.err)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", os.Getenv("ADIT_GIT_SOCKET"), "where the agent answers")
	return cmd
}

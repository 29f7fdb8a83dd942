package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newLoginCmd(a *app) *cobra.Command {
	var username, email string
	var passwordStdin, firstUser bool
	cmd := &cobra.Command{
		Use: "login URL", Short: "Sign in to a coordinator, in a browser or with a password",
		Example: `  adit login https://adit.example.com
  echo "$PASSWORD" | adit login http://127.0.0.1:7080 --username alice --password-stdin
  adit login http://127.0.0.1:7080 --first-user --username alice --email alice@example.com`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			target := a.url
			if len(argv) == 1 {
				target = argv[0]
			}
			if target == "" {
				return usagef("name the coordinator's URL")
			}
			u, err := parseURL(target)
			if err != nil {
				return err
			}
			if firstUser && email == "" {
				return usagef("--first-user needs --email")
			}
			if username == "" && !passwordStdin && !firstUser {
				return loginBrowser(cmd.Context(), a, sdk.New(u, ""))
			}
			prompt := &prompter{in: bufio.NewReader(a.in), out: a.err, terminal: isTerminal(a.in)}
			if username == "" {
				if username, err = prompt.line("Username: "); err != nil {
					return err
				}
			}
			password, err := prompt.password(passwordStdin, a.in)
			if err != nil {
				return err
			}
			return login(cmd.Context(), a, sdk.New(u, ""), username, password, email, firstUser)
		},
	}
	cmd.Flags().StringVar(&username, "username", "", "user name")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&firstUser, "first-user", false, "make the first user of an empty deployment")
	cmd.Flags().StringVar(&email, "email", "", "the first user's e-mail address")
	return cmd
}

func login(ctx context.Context, a *app, c *sdk.Client, username, password, email string, firstUser bool) error {
	if firstUser {
		if _, err := c.CreateFirstUser(ctx, sdk.FirstUser{Username: username, Email: email, Password: password}); err != nil {
			return fmt.Errorf("make the first user: %w", err)
		}
	}
	s, err := c.Login(ctx, sdk.Login{Username: username, Password: password})
	if errors.Is(err, sdk.ErrUnauthorized) {
		if b, infoErr := c.BuildInfo(ctx); infoErr == nil && !b.HasUsers {
			return errors.New("this deployment has no users yet; make the first with --first-user --email E")
		}
		return errors.New("wrong user name or password")
	}
	if err != nil {
		return fmt.Errorf("sign in to %s: %w", c.URL().Redacted(), err)
	}
	return a.signedIn(c, s)
}

// signedIn keeps a session and says so.
func (a *app) signedIn(c *sdk.Client, s sdk.Session) error {
	if err := a.saveSession(session{URL: c.URL().String(), Token: s.Token, Username: s.User.Username}); err != nil {
		return err
	}
	return a.print(s.User, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Signed in to %s as %s.\n", c.URL().Redacted(), s.User.Username)
		return err
	})
}

// prompter asks people; without a terminal it only reads.
type prompter struct {
	in       *bufio.Reader
	out      io.Writer
	terminal bool
	question string // for passwords; empty is "Password: "
}

func (p *prompter) line(question string) (string, error) {
	if p.terminal {
		fmt.Fprint(p.out, question)
	}
	text, err := p.in.ReadString('\n')
	if err != nil && text == "" {
		return "", usagef("no answer to %q; give it as a flag", strings.TrimSuffix(question, ": "))
	}
	return strings.TrimRight(text, "\r\n"), nil
}

func (p *prompter) password(fromStdin bool, in io.Reader) (string, error) {
	question := p.question
	if question == "" {
		question = "Password: "
	}
	if f, ok := in.(*os.File); ok && p.terminal && !fromStdin {
		fmt.Fprint(p.out, question)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.out)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(raw), nil
	}
	if !fromStdin {
		return "", usagef("standard input is no terminal; use --password-stdin")
	}
	return p.line(question)
}

func newLogoutCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Revoke the session's token and forget it", Args: args(cobra.NoArgs),
		Example: "  adit logout",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.Logout(cmd.Context()); err != nil && !errors.Is(err, sdk.ErrUnauthorized) {
				return err
			}
			if saved, err := a.loadSession(); err != nil || saved.Token != c.Token() {
				return err // it was another token's session
			}
			if err := os.Remove(a.sessionFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("forget the session: %w", err)
			}
			return nil
		},
	}
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

// roles are what users are, for help texts.
const roles = "owner, user-admin, template-admin, auditor or member"

func newUsersCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "users", Short: "Manage users",
		Example: `  adit users create bob --email bob@example.com
  adit users role bob template-admin
  adit users suspend bob`,
	}
	cmd.AddCommand(
		newUsersListCmd(a), newUsersShowCmd(a), newUsersCreateCmd(a), newUsersRoleCmd(a), newUsersEmailCmd(a),
		newUsersSuspendCmd(a, true), newUsersSuspendCmd(a, false), newUsersPasswordCmd(a), newUsersDeleteCmd(a),
	)
	return cmd
}

func newUsersListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users", Args: args(cobra.NoArgs),
		Example: "  adit users list -o json | jq -r '.[] | select(.role == \"owner\").username'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return writeUsers(w, list...) })
		},
	}
}

func writeUsers(w io.Writer, list ...sdk.User) error {
	var rows [][]string
	for _, u := range list {
		state := "active"
		if u.SuspendedAt != nil {
			state = "suspended"
		}
		rows = append(rows, []string{u.Username, u.Email, u.Role, state, ago(&u.CreatedAt)})
	}
	return writeTable(w, []string{"USER", "EMAIL", "ROLE", "STATE", "CREATED"}, rows)
}

// printUser prints a user.
func (a *app) printUser(u sdk.User) error {
	return a.print(u, func(w io.Writer) error { return writeUsers(w, u) })
}

func newUsersShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show USER", Short: "Show a user; me is yourself", Args: args(cobra.ExactArgs(1)),
		Example: "  adit users show me",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			u, err := c.User(cmd.Context(), argv[0])
			if err != nil {
				return noUser(err, argv[0])
			}
			return a.printUser(u)
		},
	}
}

// noUser says how to find the user that there is none of.
func noUser(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no user %s; 'adit users list' shows those whom you may see", name)
	}
	return err
}

func newUsersCreateCmd(a *app) *cobra.Command {
	var req sdk.CreateUser
	var passwordStdin bool
	cmd := &cobra.Command{
		Use: "create USER", Short: "Make a user", Args: args(cobra.ExactArgs(1)),
		Long: "Make a user. Without --password-stdin they have no password, and sign in with a provider.",
		Example: `  adit users create bob --email bob@example.com
  echo "$PASSWORD" | adit users create bob --email bob@example.com --role auditor --password-stdin`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if req.Email == "" {
				return usagef("--email is needed")
			}
			if passwordStdin {
				var err error
				if req.Password, err = a.readPassword("Password: ", true); err != nil {
					return err
				}
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			req.Username = argv[0]
			u, err := c.CreateUser(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.printUser(u)
		},
	}
	cmd.Flags().StringVar(&req.Email, "email", "", "e-mail address")
	cmd.Flags().StringVar(&req.Role, "role", "member", roles)
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read a password from standard input")
	return cmd
}

// readPassword reads a password from a person, or from standard input.
func (a *app) readPassword(question string, fromStdin bool) (string, error) {
	p := &prompter{in: bufio.NewReader(a.in), out: a.err, terminal: isTerminal(a.in), question: question}
	return p.password(fromStdin, a.in)
}

// changeUser makes a command that changes a user.
func (a *app) changeUser(cmd *cobra.Command, name string, req sdk.ChangeUser) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	u, err := c.ChangeUser(cmd.Context(), name, req)
	if err != nil {
		return noUser(err, name)
	}
	return a.printUser(u)
}

func newUsersRoleCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "role USER ROLE", Short: "Make a user " + roles, Args: args(cobra.ExactArgs(2)),
		Example: "  adit users role bob template-admin",
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.changeUser(cmd, argv[0], sdk.ChangeUser{Role: &argv[1]})
		},
	}
}

func newUsersEmailCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "email USER ADDRESS", Short: "Change a user's e-mail address", Args: args(cobra.ExactArgs(2)),
		Example: "  adit users email bob robert@example.com",
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.changeUser(cmd, argv[0], sdk.ChangeUser{Email: &argv[1]})
		},
	}
}

func newUsersSuspendCmd(a *app, suspend bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "suspend USER", Short: "Keep a user out, and end all they have open", Args: args(cobra.ExactArgs(1)),
		Example: "  adit users suspend bob     # 'adit users activate bob' lets them in again",
		RunE: func(cmd *cobra.Command, argv []string) error {
			return a.changeUser(cmd, argv[0], sdk.ChangeUser{Suspended: &suspend})
		},
	}
	if !suspend {
		cmd.Use, cmd.Short, cmd.Example = "activate USER", "Let a suspended user in again", "  adit users activate bob"
	}
	return cmd
}

func newUsersPasswordCmd(a *app) *cobra.Command {
	var passwordStdin bool
	cmd := &cobra.Command{
		Use: "password [USER]", Short: "Set a password, and end whatever else its user has open", Args: args(cobra.MaximumNArgs(1)),
		Long: `Set a password: your own, which takes the old one, or somebody else's.
With --password-stdin the lines of standard input are the old one, if it is your own, and the new one.`,
		Example: `  adit users password
  echo "$NEW" | adit users password bob --password-stdin`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			name := "me"
			if len(argv) == 1 {
				name = argv[0]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			p := &prompter{in: bufio.NewReader(a.in), out: a.err, terminal: isTerminal(a.in), question: "Old password: "}
			var req sdk.ChangePassword
			if name == "me" || name == me.Username {
				if req.Old, err = p.password(passwordStdin, a.in); err != nil {
					return err
				}
			}
			p.question = "New password: "
			if req.Password, err = p.password(passwordStdin, a.in); err != nil {
				return err
			}
			return noUser(c.ChangePassword(cmd.Context(), name, req), name)
		},
	}
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read passwords from standard input, one a line")
	return cmd
}

func newUsersDeleteCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete USER", Short: "Delete a user", Args: args(cobra.ExactArgs(1)),
		Long: `Delete a user for good, with their tokens, their external workspaces and what they
have open, at once. Workspaces that templates made have to be deleted or given to
somebody else first. What the user once did goes on to name them.`,
		Example: "  adit users suspend bob && adit users delete bob",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "Delete user "+argv[0]+" for good?"); err != nil {
				return err
			}
			return noUser(c.DeleteUser(cmd.Context(), argv[0]), argv[0])
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

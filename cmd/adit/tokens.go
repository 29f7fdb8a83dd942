package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newTokensCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "tokens", Short: "Manage your API tokens",
		Example: `  adit tokens create ci --lifetime 720h
  adit tokens list`,
	}
	var user string
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens", Args: args(cobra.NoArgs),
		Example: `  adit tokens list -o json | jq -r .[].name
  adit tokens list --user bob    # for owners of the deployment`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			tokens, err := c.UserTokens(cmd.Context(), user)
			if err != nil {
				return noUser(err, user)
			}
			return a.print(tokens, func(w io.Writer) error {
				var rows [][]string
				for _, t := range tokens {
					expires := "never"
					if t.ExpiresAt != nil && t.ExpiresAt.Before(time.Now()) {
						expires = "expired"
					} else if t.ExpiresAt != nil {
						expires = t.ExpiresAt.Local().Format(time.DateOnly)
					}
					rows = append(rows, []string{t.ID, t.Name, ago(&t.CreatedAt), ago(t.LastUsedAt), expires, orDash(strings.Join(t.Scopes, ","))})
				}
				return writeTable(w, []string{"ID", "NAME", "CREATED", "LAST USED", "EXPIRES", "SCOPES"}, rows)
			})
		},
	}
	list.Flags().StringVar(&user, "user", "me", "whose tokens")
	var lifetime time.Duration
	var scopes []string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it", Args: args(cobra.ExactArgs(1)),
		Example: `  adit tokens create ci --scope template:* --scope workspace:read
  ADIT_TOKEN=$(adit tokens create ci -o json | jq -r .token) make deploy`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if cmd.Flags().Changed("lifetime") && lifetime < time.Second {
				return usagef("--lifetime %v: want a second or more", lifetime)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			t, err := c.CreateToken(cmd.Context(), sdk.CreateToken{Name: argv[0], Lifetime: int64(lifetime.Seconds()), Scopes: scopes})
			if err != nil {
				return err
			}
			return a.print(t, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, t.Text)
				return err
			})
		},
	}
	create.Flags().DurationVar(&lifetime, "lifetime", 0, "how long it is good for (default: as long as the deployment lets tokens last)")
	create.Flags().StringArrayVar(&scopes, "scope", nil, "RESOURCE:ACTION that it may be used for, where * is any (default: all that you may do)")
	remove := &cobra.Command{
		Use: "delete NAME|ID", Short: "Revoke a token", Args: args(cobra.ExactArgs(1)),
		Example: `  adit tokens delete ci
  adit tokens delete 6f1c…    # of several of a name, as 'adit tokens list' shows it`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			id := argv[0]
			if uuid.Validate(id) != nil {
				if id, err = tokenNamed(cmd.Context(), c, id); err != nil {
					return err
				}
			}
			err = c.RevokeToken(cmd.Context(), id)
			if errors.Is(err, sdk.ErrNotFound) {
				return noToken(argv[0])
			}
			return err
		},
	}
	cmd.AddCommand(list, create, remove)
	return cmd
}

// tokenNamed returns the id of the only token of a name.
func tokenNamed(ctx context.Context, c *sdk.Client, name string) (string, error) {
	tokens, err := c.Tokens(ctx)
	if err != nil {
		return "", err
	}
	tokens = slices.DeleteFunc(tokens, func(t sdk.Token) bool { return t.Name != name })
	switch len(tokens) {
	case 0:
		return "", noToken(name)
	case 1:
		return tokens[0].ID, nil
	}
	return "", fmt.Errorf("%d tokens are called %s; name one by its id, as 'adit tokens list' shows it", len(tokens), name)
}

func noToken(name string) error {
	return fmt.Errorf("no token %s; 'adit tokens list' shows yours", name)
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newStateCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "state", Short: "Handle the Terraform state of a workspace, for the desperate",
		Long: `Handle the Terraform state of a workspace. It is full of secrets, and the only
record of what exists outside: this is for owners of the deployment, to mend
what a build cannot.`,
		Example: `  adit state pull alice/dev > dev.tfstate
  adit state push alice/dev dev.tfstate`,
	}
	pull := &cobra.Command{
		Use: "pull WS", Short: "Print the state of a workspace", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: "  adit state pull alice/dev > dev.tfstate",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, name, err := a.stateOf(argv[0])
			if err != nil {
				return err
			}
			state, err := c.PullState(cmd.Context(), name.Owner, name.Name)
			if err != nil {
				return fmt.Errorf("state of workspace %s: %w", name, err)
			}
			_, err = a.out.Write(state)
			return err
		},
	}
	var force bool
	push := &cobra.Command{
		Use: "push WS FILE", Short: "Replace the state of a workspace", Args: args(cobra.ExactArgs(2)), ValidArgsFunction: a.completeWorkspace,
		Long: `Replace the state of a workspace by a file's, "-" for standard input. It must
have the lineage of the state that is kept and a higher serial, or --force.`,
		Example: "  adit state push alice/dev dev.tfstate",
		RunE: func(cmd *cobra.Command, argv []string) error {
			state, err := readAll(a.in, argv[1])
			if err != nil {
				return fmt.Errorf("read the state: %w", err)
			}
			if !json.Valid(state) {
				return fmt.Errorf("%s is no Terraform state: it is not JSON", argv[1])
			}
			c, name, err := a.stateOf(argv[0])
			if err != nil {
				return err
			}
			if err := c.PushState(cmd.Context(), name.Owner, name.Name, state, force); err != nil {
				return fmt.Errorf("push the state of workspace %s: %w", name, err)
			}
			_, err = fmt.Fprintf(a.err, "Workspace %s has that state now; its next build starts from it.\n", name)
			return err
		},
	}
	push.Flags().BoolVar(&force, "force", false, "also if it does not descend from the state that is kept")
	cmd.AddCommand(pull, push)
	return cmd
}

// stateOf returns whose state is meant. The workspace need not be one's own, so
// it is not looked up.
func (a *app) stateOf(text string) (*sdk.Client, sdk.WorkspaceName, error) {
	name, err := sdk.ParseWorkspaceName(text)
	if err != nil {
		return nil, name, usageError{err}
	}
	c, err := a.client()
	return c, name, err
}

// readAll reads a file, or standard input for "-".
func readAll(in io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(file)
}

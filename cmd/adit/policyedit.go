package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/policy"
	"github.com/aditmesh/adit/pkg/sdk"
)

// firstPolicy is what somebody begins with: it changes nothing.
const firstPolicy = `# Who may reach which workspaces, on which ports: see docs/policy.md.

# People reach what is theirs or shared with them. Rules take away from that: with the
# first one, what none admits.
#rules:
#  - from: ["*"]                 # NAME, group:NAME or "*"
#    to: [me/*]                  # OWNER/WORKSPACE, template:NAME or tag:NAME
#    ports: ["*"]                # icmp, tcp:22, udp:6000-6999, tcp:* or "*"

# Workspaces reach each other by links alone.
links: []
#  - from: [alice/shop]
#    to: [alice/db]
#    ports: [tcp:5432]

# What must come of it; a policy whose tests fail is refused.
tests: []
#  - from: bob
#    to: alice/db
#    deny: ["*"]
`

func newPolicyEditCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "edit", Short: "Change the policy in $EDITOR", Args: args(cobra.NoArgs),
		Long: `Change the policy in the editor that VISUAL or EDITOR names. What is saved there is
checked, with its tests, and then holds. A text that is refused is kept.`,
		Example: "  adit policy edit\n  EDITOR='code --wait' adit policy edit",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.editPolicy(cmd.Context(), c)
		},
	}
}

func (a *app) editPolicy(ctx context.Context, c *sdk.Client) error {
	var tag string
	now, err := c.Policy(sdk.WithTag(ctx, &tag))
	if err != nil {
		return err
	}
	before := now.Text
	if now.Version == 0 {
		before = firstPolicy
	}
	file, err := writeTemp("adit-policy-*.yaml", before)
	if err != nil {
		return err
	}
	for {
		if err := a.runEditor(ctx, file); err != nil {
			return keeping(file, err)
		}
		text, err := a.policyFile(file)
		if err != nil {
			return keeping(file, err)
		}
		if string(text) == before {
			fmt.Fprintln(a.err, "Nothing was changed.")
			return os.Remove(file)
		}
		if _, err = policy.Read(text); err == nil {
			err = a.savePolicy(sdk.WithIfMatch(ctx, tag), c, file, string(text))
			if errors.Is(err, sdk.ErrChanged) {
				return keeping(file, errors.New("somebody else has changed the policy meanwhile; see 'adit policy show'"))
			}
			if err == nil {
				return os.Remove(file)
			}
			return keeping(file, err)
		}
		err = a.wrongPolicy(file, err)
		if !isTerminal(a.in) {
			return keeping(file, err)
		}
		if a.confirm(false, "Edit it again?") != nil {
			return keeping(file, err)
		}
	}
}

// keeping says where the text is that was not saved.
func keeping(file string, err error) error {
	return fmt.Errorf("%w; your text is kept in %s, and 'adit policy set' takes it", err, file)
}

func writeTemp(pattern, text string) (name string, err error) {
	f, err := os.CreateTemp("", pattern)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// runEditor has somebody edit a file. The editor may come with arguments.
func (a *app) runEditor(ctx context.Context, file string) error {
	editor := envOr("VISUAL", envOr("EDITOR", "vi"))
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", file)
	if runtime.GOOS == "windows" {
		words := strings.Fields(envOr("VISUAL", envOr("EDITOR", "notepad")))
		cmd = exec.CommandContext(ctx, words[0], append(words[1:], file)...)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the editor %q: %w; name another with EDITOR", editor, err)
	}
	return nil
}

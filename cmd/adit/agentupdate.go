package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent"
	"github.com/aditmesh/adit/agent/self"
	"github.com/aditmesh/adit/agent/update"
)

const (
	// updateWithin is how long people may go on with what they are at, unless whoever
	// asks says otherwise.
	updateWithin = 10 * time.Minute

	// handoverEnv is where an agent finds what the one before it left: a file, by its
	// number.
	handoverEnv = "ADIT_AGENT_HANDOVER"
)

func newAgentUpdateCmd(a *app) *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use: "update [WS]", Short: "Have a workspace's agent replace its program by its coordinator's",
		Long: `Have the agent of a workspace, or within one of this, replace its program by its
coordinator's, if it was started with --allow-update. What comes is checked and
tried before it takes the old program's place. The agent starts it once sessions,
forwards and startup scripts are over, and after --within at the latest; sessions
that tmux or screen keep go on.`,
		Example: `  adit agent update dev
  adit agent update dev --within 0s`,
		Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if within < 0 {
				return usagef("--within %v: want 0s or more", within)
			}
			answer, err := askUpdate(cmd.Context(), a, argv, within)
			if err != nil {
				return err
			}
			return a.print(answer, func(out io.Writer) error {
				_, err := fmt.Fprintln(out, updateText(answer))
				return err
			})
		},
	}
	a.pathFlags(cmd)
	cmd.Flags().DurationVar(&within, "within", updateWithin, "how long it may wait for people and scripts")
	return cmd
}

// askUpdate asks the agent of a workspace, or of this one.
func askUpdate(ctx context.Context, a *app, argv []string, within time.Duration) (answer update.Answer, err error) {
	if len(argv) == 0 {
		path := os.Getenv(self.SocketEnv)
		if path == "" {
			return answer, usagef("name a workspace; only within one its own agent is meant")
		}
		return self.NewClient(path).Update(ctx, within)
	}
	out, err := a.askAgent(ctx, argv[0], "update", fmt.Sprintf("%s %d", agent.UpdateSubsystem, int64(within/time.Second)))
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	return answer, err
}

func updateText(u update.Answer) string {
	switch {
	case !u.Changed:
		return fmt.Sprintf("The agent is up to date: %s.", oneLine(u.Version))
	case u.InUse == 0:
		return fmt.Sprintf("The agent was updated to %s, which it starts now.", oneLine(u.Version))
	}
	return fmt.Sprintf("The agent was updated to %s, which it starts once %d sessions, forwards or scripts are over, in %v at the latest.",
		oneLine(u.Version), u.InUse, time.Duration(u.WithinSeconds)*time.Second)
}

// takeOver reads what the agent before this one left.
func takeOver() (h agent.Handover, err error) {
	text, ok := os.LookupEnv(handoverEnv)
	if !ok {
		return h, nil
	}
	var fd uintptr
	if _, err := fmt.Sscan(text, &fd); err != nil {
		return h, fmt.Errorf("%s=%q: %w", handoverEnv, text, err)
	}
	f := os.NewFile(fd, "handover")
	if f == nil {
		return h, fmt.Errorf("%s=%q is no open file", handoverEnv, text)
	}
	defer f.Close()
	_, err = f.Seek(0, io.SeekStart)
	if err == nil {
		err = json.NewDecoder(f).Decode(&h)
	}
	return h, errors.Join(err, os.Unsetenv(handoverEnv))
}

// withoutToken is a command line without the flags that say what the token is: their
// text was hidden, and a file may be gone.
func withoutToken(argv []string) []string {
	var kept []string
	for i := 0; i < len(argv); i++ {
		switch name, _, whole := strings.Cut(argv[i], "="); {
		case name != "--token" && name != "--token-file":
			kept = append(kept, argv[i])
		case !whole:
			i++ // its value
		}
	}
	return kept
}

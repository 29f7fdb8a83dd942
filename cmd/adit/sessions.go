package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/foreign"
)

// How clients speak of sessions to the agent; see its package ssh.
const (
	terminalName       = "ADIT_TERMINAL"
	terminalsSubsystem = "adit-terminals"
)

// terminalInfo is what the agent says of a session.
type terminalInfo struct {
	Name    string    `json:"name"`
	Kept    string    `json:"kept"`
	Created time.Time `json:"created"`
	Viewers int       `json:"viewers"`
}

func newSessionsCmd(a *app) *cobra.Command {
	var history bool
	cmd := &cobra.Command{
		Use: "sessions WS", Short: "List the sessions by name that a workspace keeps", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeWorkspace,
		Example: `  adit ssh dev --session work
  adit sessions dev
  adit sessions kill dev work
  adit sessions dev --history`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if history {
				return a.sessionHistory(cmd.Context(), argv[0])
			}
			out, err := a.askAgent(cmd.Context(), argv[0], "sessions", terminalsSubsystem)
			if err != nil {
				return err
			}
			list := []terminalInfo{}
			if err := json.Unmarshal(out, &list); err != nil {
				return fmt.Errorf("sessions of workspace %s: %w", argv[0], err)
			}
			return a.print(list, func(w io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintf(w, "No sessions. 'adit ssh %s --session NAME' makes one.\n", argv[0])
					return err
				}
				var rows [][]string
				for _, s := range list {
					created := ""
					if !s.Created.IsZero() {
						created = ago(&s.Created)
					}
					rows = append(rows, []string{foreign.Printable(s.Name), foreign.Printable(s.Kept), created, strconv.Itoa(s.Viewers)})
				}
				return writeTable(w, []string{"NAME", "KEPT BY", "CREATED", "VIEWERS"}, rows)
			})
		},
	}
	a.pathFlags(cmd)
	cmd.Flags().BoolVar(&history, "history", false, "say who did what in the workspace in the last week instead")
	kill := &cobra.Command{
		Use: "kill WS NAME", Short: "End a session by name and the programs in it", Args: args(cobra.ExactArgs(2)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			_, err := a.askAgent(cmd.Context(), argv[0], "sessions", terminalsSubsystem+" kill "+argv[1])
			return err
		},
	}
	a.pathFlags(kill)
	cmd.AddCommand(kill)
	return cmd
}

// sessionHistory says who did what in a workspace.
func (a *app) sessionHistory(ctx context.Context, workspace string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	_, name, err := findWorkspace(ctx, c, workspace)
	if err != nil {
		return err
	}
	list, err := c.SSHSessions(ctx, name.Owner, name.Name)
	if err != nil {
		return err
	}
	return a.print(list, func(w io.Writer) error {
		var rows [][]string
		for _, s := range list {
			took := ""
			if s.EndedAt != nil {
				took = s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond).String()
			}
			rows = append(rows, []string{
				s.StartedAt.Local().Format(time.DateTime), took, foreign.Printable(s.User), s.Kind, s.Path, foreign.Printable(s.From),
				strconv.FormatInt(s.RxBytes, 10), strconv.FormatInt(s.TxBytes, 10),
			})
		}
		return writeTable(w, []string{"STARTED", "TOOK", "USER", "KIND", "PATH", "FROM", "RECEIVED", "SENT"}, rows)
	})
}

// askAgent asks a workspace's agent for what a subsystem of its SSH server has; what is
// about names that to people.
func (a *app) askAgent(ctx context.Context, workspace, about, request string) ([]byte, error) {
	t, err := a.connect(ctx, workspace, waitNotAtAll)
	if err != nil {
		return nil, err
	}
	defer t.node.Close()
	conn, err := t.node.DialTCP(ctx, netip.AddrPortFrom(t.addr, sshPort))
	if err != nil {
		return nil, fmt.Errorf("connect to workspace %s: %w", t.name, err)
	}
	defer conn.Close()
	client, err := sshClient(conn, t.name.String(), t.checkHostKey(ctx, a))
	if err != nil {
		return nil, fmt.Errorf("workspace %s: %w", t.name, err)
	}
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("workspace %s: open a session: %w", t.name, err)
	}
	defer s.Close()
	out, err1 := s.StdoutPipe()
	errs, err2 := s.StderrPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("workspace %s: %w", t.name, err)
	}
	if err := s.RequestSubsystem(request); err != nil {
		return nil, fmt.Errorf("the agent of workspace %s is too old for %s; restart the workspace", t.name, about)
	}
	answer, err1 := io.ReadAll(out)
	refusal, err2 := io.ReadAll(errs)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%s of workspace %s: %w", about, t.name, err)
	}
	if len(refusal) > 0 {
		return nil, fmt.Errorf("%s of workspace %s: %s", about, t.name, strings.TrimPrefix(strings.TrimSpace(string(refusal)), "pty: "))
	}
	return answer, nil
}

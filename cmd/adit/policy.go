package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/policy"
	"github.com/aditmesh/adit/pkg/sdk"
)

func newPolicyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Say who may reach which workspaces, on which ports",
		Long: `Say who may reach which workspaces, on which ports. The policy is a file of YAML with
rules, which take away from what is shared with people, with links, which alone let
workspaces reach each other, and with tests of both. It holds within a second of being
saved, also for what is open. docs/policy.md describes it.`,
		Example: `  adit policy show
  adit policy edit
  adit policy test policy.yaml && adit policy set policy.yaml`,
	}
	cmd.AddCommand(newPolicyShowCmd(a), newPolicyVersionsCmd(a), newPolicyEditCmd(a), newPolicySetCmd(a), newPolicyValidateCmd(a), newPolicyTestCmd(a))
	return cmd
}

func newPolicyShowCmd(a *app) *cobra.Command {
	var number int64
	cmd := &cobra.Command{
		Use: "show", Short: "Print the policy", Args: args(cobra.NoArgs),
		Example: "  adit policy show\n  adit policy show --version 3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var p sdk.Policy
			if number > 0 {
				p, err = c.PolicyAt(cmd.Context(), number)
				if errors.Is(err, sdk.ErrNotFound) {
					return fmt.Errorf("no version %d of the policy; 'adit policy versions' lists them", number)
				}
			} else {
				p, err = c.Policy(cmd.Context())
			}
			if err != nil {
				return err
			}
			return a.print(p, func(w io.Writer) error {
				if p.Version == 0 {
					fmt.Fprintln(a.err, "There is no policy: people reach what is theirs or shared with them. 'adit policy edit' writes one.")
					return nil
				}
				_, err := io.WriteString(w, strings.TrimSuffix(p.Text, "\n")+"\n")
				return err
			})
		},
	}
	cmd.Flags().Int64Var(&number, "version", 0, "an earlier one, by its number")
	return cmd
}

func newPolicyVersionsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "versions", Short: "List what the policy is and was, the newest first", Args: args(cobra.NoArgs),
		Example: "  adit policy versions",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.PolicyVersions(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, v := range list {
					rows = append(rows, []string{fmt.Sprint(v.Version), orDash(v.CreatedBy), ago(&v.CreatedAt), size(int64(v.Size))})
				}
				return writeTable(w, []string{"VERSION", "BY", "WHEN", "SIZE"}, rows)
			})
		},
	}
}

func newPolicySetCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "set FILE", Short: "Make a file the policy; - is standard input", Args: args(cobra.ExactArgs(1)),
		Example: "  adit policy set policy.yaml",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			text, err := a.policyFile(argv[0])
			if err != nil {
				return err
			}
			if _, err := policy.Read(text); err != nil {
				return a.wrongPolicy(argv[0], err)
			}
			return a.savePolicy(cmd.Context(), c, argv[0], string(text))
		},
	}
}

// savePolicy makes a text, of a file that is called name, the policy.
func (a *app) savePolicy(ctx context.Context, c *sdk.Client, name, text string) error {
	p, err := c.SetPolicy(ctx, text)
	var refused *sdk.Error
	if errors.As(err, &refused) && refused.Code == "bad-policy" { // this program read it otherwise
		for _, e := range refused.Errors {
			fmt.Fprintln(a.err, e.Message)
		}
		return fmt.Errorf("the coordinator refuses %s", name)
	}
	if err != nil {
		return err
	}
	return a.print(p, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Version %d of the policy holds.\n", p.Version)
		return err
	})
}

// policyReport is what is said of a file.
type policyReport struct {
	Valid    bool            `json:"valid"`
	Tests    int             `json:"tests"` // that were run
	Problems []policyProblem `json:"problems"`
}

type policyProblem struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func newPolicyValidateCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Short: "Say what is wrong with a file, without its tests; - is standard input", Args: args(cobra.ExactArgs(1)),
		Example: "  adit policy validate policy.yaml",
		RunE: func(_ *cobra.Command, argv []string) error {
			text, err := a.policyFile(argv[0])
			if err != nil {
				return err
			}
			if _, err := policy.Parse(text); err != nil {
				return a.wrongPolicy(argv[0], err)
			}
			return a.print(policyReport{Valid: true, Problems: []policyProblem{}}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is a policy. 'adit policy test' runs its tests.\n", argv[0])
				return err
			})
		},
	}
}

func newPolicyTestCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "test [FILE]", Short: "Run the tests of a file, or of the policy that holds", Args: args(cobra.MaximumNArgs(1)),
		Long: `Run the tests of a file, or of the policy that holds. Who is in which group, and which
workspace was made of which template, is what the file's "given" says.`,
		Example: "  adit policy test policy.yaml",
		RunE: func(cmd *cobra.Command, argv []string) error {
			name, text := "the policy", []byte(nil)
			var err error
			if len(argv) > 0 {
				name = argv[0]
				text, err = a.policyFile(name)
			} else {
				text, err = a.policyNow(cmd.Context())
			}
			if err != nil {
				return err
			}
			p, err := policy.Read(text)
			if err != nil {
				return a.wrongPolicy(name, err)
			}
			return a.print(policyReport{Valid: true, Tests: p.Tests(), Problems: []policyProblem{}}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: all of %d expectations hold\n", name, p.Tests())
				return err
			})
		},
	}
}

func (a *app) policyNow(ctx context.Context) ([]byte, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	p, err := c.Policy(ctx)
	if err == nil && p.Version == 0 {
		err = errors.New("there is no policy; name a file")
	}
	return []byte(p.Text), err
}

// policyFile reads a file, of which more than is allowed is no matter.
func (a *app) policyFile(name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// wrongPolicy says what is wrong with a file, a line for each.
func (a *app) wrongPolicy(name string, err error) error {
	var problems policy.Problems
	if !errors.As(err, &problems) {
		return fmt.Errorf("%s: %w", name, err)
	}
	report := policyReport{Problems: []policyProblem{}}
	for _, p := range problems {
		report.Problems = append(report.Problems, policyProblem{p.Line, p.Text})
	}
	if err := a.print(report, func(io.Writer) error {
		for _, p := range problems {
			fmt.Fprintf(a.err, "%s:%d: %s\n", name, p.Line, p.Text)
		}
		return nil
	}); err != nil {
		return err
	}
	what := "1 problem"
	if len(problems) > 1 {
		what = fmt.Sprintf("%d problems", len(problems))
	}
	return fmt.Errorf("%s has %s; docs/policy.md says how it is written", name, what)
}

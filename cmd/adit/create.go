package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

type createFlags struct {
	external, noWait bool
	template         string
	version          int
	parameters       []string
}

func newCreateCmd(a *app) *cobra.Command {
	var f createFlags
	var organization string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a workspace",
		Example: `  adit create dev --template process --parameter cpu=2
  adit create dev --external            # prints what to run on the workspace's host
  adit create dev --external -o json | jq -r .agent_token`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			switch {
			case f.external && (f.template != "" || len(f.parameters) > 0):
				return usagef("--external goes without --template and --parameter: no template makes an external workspace")
			case !f.external && f.template == "":
				return usagef("name a template with --template, as 'adit templates list' shows them, or make an external workspace with --external")
			}
			given, err := pairs("parameter", f.parameters)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if f.external {
				return createExternal(cmd.Context(), a, c, argv[0], organization)
			}
			if organization != "" {
				f.template = organization + "/" + f.template
			}
			return createFromTemplate(cmd.Context(), a, c, argv[0], f, given)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&organization, "organization", "", "organization of an external workspace (default: the default one), or of the template")
	flags.BoolVar(&f.external, "external", false, "somebody runs the agent by hand")
	flags.StringVarP(&f.template, "template", "t", "", "template to make it from: NAME, or ORGANIZATION/NAME if several organizations have one")
	flags.IntVar(&f.version, "template-version", 0, "version of the template (default: the active one)")
	flags.StringArrayVarP(&f.parameters, "parameter", "p", nil, "NAME=VALUE of a parameter of the template; what is missing is asked for")
	flags.BoolVar(&f.noWait, "no-wait", false, "do not wait until it has started")
	// A flag that exists can be completed.
	_ = cmd.RegisterFlagCompletionFunc("template", a.completeTemplate)
	return cmd
}

// alreadyThere says what to do about a name that is taken.
func alreadyThere(err error, name string) error {
	var e *sdk.Error
	if errors.As(err, &e) && errors.Is(err, sdk.ErrConflict) && e.Detail == "already exists" {
		return fmt.Errorf("you have a workspace %s already; choose another name, or delete it with 'adit delete %s'", name, name)
	}
	return fmt.Errorf("make workspace %s: %w", name, err)
}

func createExternal(ctx context.Context, a *app, c *sdk.Client, name, organization string) error {
	w, err := c.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, External: true, Organization: organization})
	if err != nil {
		return alreadyThere(err, name)
	}
	return a.print(w, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "Workspace %s made. Run its agent on any host; the token is shown this once:\n\n  %s\n\nThen: adit ssh %s\n",
			w.Ref(), w.AgentCommand, w.Ref())
		return err
	})
}

func createFromTemplate(ctx context.Context, a *app, c *sdk.Client, name string, f createFlags, given map[string]string) error {
	v, err := findVersion(ctx, c, f.template, f.version)
	if err != nil {
		return err
	}
	if err := a.fill(v, given, nil); err != nil {
		return err
	}
	if t, err := c.Template(ctx, f.template); err == nil && t.Deprecated != "" {
		fmt.Fprintf(a.err, "Template %s is deprecated: %s\n", f.template, oneLine(t.Deprecated))
	}
	made, err := c.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, Template: f.template, Version: f.version, Parameters: given})
	if err != nil {
		return alreadyThere(err, name)
	}
	w := made.Workspace
	if made.LatestBuild != nil && !made.LatestBuild.Job.Done() && !f.noWait {
		if w, err = a.finishBuild(ctx, c, w, *made.LatestBuild); err != nil {
			return err
		}
	}
	return a.print(w, func(out io.Writer) error {
		_, err := fmt.Fprintln(out, whatNow(w))
		return err
	})
}

// whatNow says what a workspace is and what can be done with it.
func whatNow(w sdk.Workspace) string {
	was := ""
	if w.LatestBuild != nil && w.LatestBuild.Reason == sdk.ReasonClaimed {
		was = ", which was prepared,"
	}
	switch is := fmt.Sprintf("Workspace %s%s is %s", w.Ref(), was, w.Phase); {
	case w.Phase != "running":
		return fmt.Sprintf("%s; 'adit logs -f %s' shows how its build is doing.", is, w.Ref())
	case len(w.Agents) == 0:
		return is + ". Its template has no agent, so there is no shell to open."
	default:
		return fmt.Sprintf("%s. Open a shell: adit ssh %s", is, w.Ref())
	}
}

// findVersion returns a version of a template: the active one for zero.
func findVersion(ctx context.Context, c *sdk.Client, template string, number int) (sdk.TemplateVersion, error) {
	if number != 0 {
		v, err := c.TemplateVersion(ctx, template, number)
		return v, noTemplate(err, template)
	}
	t, err := c.Template(ctx, template)
	if err != nil {
		return sdk.TemplateVersion{}, noTemplate(err, template)
	}
	if t.Active == nil {
		return sdk.TemplateVersion{}, fmt.Errorf("template %s has no active version; 'adit templates versions %s' shows why", template, template)
	}
	return *t.Active, nil
}

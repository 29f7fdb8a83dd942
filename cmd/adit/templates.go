package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/sdk"
)

func newTemplatesCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "templates", Aliases: []string{"template"}, Short: "Manage the templates that workspaces are made from",
		Example: `  adit templates init process
  adit templates push process -d process
  adit templates versions process
  adit templates versions research/process    # several organizations have a process`,
	}
	cmd.AddCommand(newTemplatesInitCmd(a), newTemplatesPushCmd(a), newTemplatesListCmd(a), newTemplatesVersionsCmd(a),
		newTemplatesActivateCmd(a), newTemplatesDiffCmd(a), newTemplatesTestCmd(a), newTemplatesEditCmd(a), newTemplatesWebhookCmd(a), newTemplatesPullCmd(a), newTemplatesDeleteCmd(a))
	return cmd
}

func newTemplatesPushCmd(a *app) *cobra.Command {
	var dir, message, organization, repository, ref string
	var tags, variables []string
	var inactive bool
	cmd := &cobra.Command{
		Use: "push NAME", Short: "Make a version of a template from a directory of Terraform, or the template",
		Example: `  adit templates push process -d process
  adit templates push process --git https://git.example.com/templates.git --ref main -d process
  adit templates push gpu -d . --message "larger disks" --tag site=lab --variable zone=eu`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		RunE: func(cmd *cobra.Command, argv []string) error {
			req := sdk.PushVersion{Message: message, Inactive: inactive, Organization: organization}
			var err error
			if req.Tags, err = pairs("tag", tags); err != nil {
				return err
			}
			if req.Variables, err = pairs("variable", variables); err != nil {
				return err
			}
			if repository != "" {
				t, err := takeFromGit(cmd.Context(), repository, ref, dir)
				if err != nil {
					return err
				}
				req.Archive, req.Message = t.archive, cmp.Or(message, t.message)
			} else if req.Archive, err = archive.Pack(dir); err != nil {
				return explainPack(err, dir)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			v, err := push(cmd.Context(), a, c, argv[0], req)
			if err != nil {
				return err
			}
			return a.print(v, func(w io.Writer) error {
				state := "active now"
				if inactive {
					state = fmt.Sprintf("not active; 'adit templates activate %s %d' makes it so", argv[0], v.Number)
				}
				_, err := fmt.Fprintf(w, "Template %s has version %d, %s. Make a workspace: adit create NAME --template %s\n", argv[0], v.Number, state, argv[0])
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&dir, "directory", "d", ".", "where the template's files are")
	flags.StringVar(&repository, "git", "", "take the files from this git repository, with the credentials that git has; -d is a directory of it")
	flags.StringVar(&ref, "ref", "", "branch or tag of the repository (default: its own)")
	flags.StringVarP(&message, "message", "m", "", "what is new, for those who read the list of versions")
	flags.StringArrayVar(&tags, "tag", nil, "KEY=VALUE: have it run by provisioners with this tag alone")
	flags.StringArrayVar(&variables, "variable", nil, "NAME=VALUE of one of the template's input variables")
	flags.StringVar(&organization, "organization", "", "organization that the template belongs to (default: that of the only one of its name or, if it is new, the default one)")
	flags.BoolVar(&inactive, "inactive", false, "do not give the version to new workspaces yet")
	return cmd
}

// explainPack says what to do about a directory that makes no template.
func explainPack(err error, dir string) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("no directory %s; name the template's with -d, or write an example out with 'adit templates init process'", dir)
	case errors.Is(err, archive.ErrInvalid):
		return fmt.Errorf("%s: %w; a template is a directory with *.tf files and what they read, at most %d MiB, and %d packed", dir, err, archive.MaxUnpacked>>20, archive.MaxPacked>>20)
	}
	return err
}

// push makes a version and waits for its import.
func push(ctx context.Context, a *app, c *sdk.Client, name string, req sdk.PushVersion) (sdk.TemplateVersion, error) {
	v, err := c.PushTemplate(ctx, name, req)
	if err != nil {
		return v, fmt.Errorf("push template %s: %w", name, err)
	}
	what := fmt.Sprintf("version %d of template %s", v.Number, name)
	job, err := a.watch(ctx, "Checking "+what, func(after int64) (*sdk.Log, error) {
		return c.VersionLog(ctx, name, v.Number, after, true)
	})
	if err != nil {
		return v, a.watchEnded(ctx, err, what, "adit templates versions "+name)
	}
	if err := a.judge(job, what, fmt.Sprintf("mend the files and push again; 'adit templates versions %s' lists what there is", name)); err != nil {
		return v, err
	}
	return c.TemplateVersion(ctx, name, v.Number)
}

func newTemplatesListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List templates", Args: args(cobra.NoArgs),
		Example: "  adit templates list -o json | jq -r .[].name",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Templates(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(w, "No templates yet. Write an example out and push it: adit templates init process && adit templates push process -d process")
					return err
				}
				var rows [][]string
				for _, t := range list {
					active := "none"
					if t.ActiveNumber != 0 {
						active = strconv.Itoa(t.ActiveNumber)
					}
					name := t.Name
					if t.Deprecated != "" {
						name += " (deprecated)"
					}
					rows = append(rows, []string{name, t.Organization, active, ago(&t.CreatedAt), strconv.Itoa(t.Workspaces)})
				}
				return writeTable(w, []string{"TEMPLATE", "ORGANIZATION", "ACTIVE", "CREATED", "WORKSPACES"}, rows)
			})
		},
	}
}

func newTemplatesVersionsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "versions NAME", Short: "List a template's versions", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		Example: "  adit templates versions process",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.TemplateVersions(cmd.Context(), argv[0])
			if err != nil {
				return noTemplate(err, argv[0])
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, v := range list {
					state := v.Job.Status
					if v.Active {
						state = "active"
					}
					rows = append(rows, []string{strconv.Itoa(v.Number), state, v.CreatedBy, ago(&v.CreatedAt), orDash(v.Message), orDash(v.Job.Error)})
				}
				if err := writeTable(w, []string{"VERSION", "STATE", "BY", "PUSHED", "MESSAGE", "ERROR"}, rows); err != nil {
					return err
				}
				// What could not be fetched is no version. Whoever may not see the webhook has nothing to do with it.
				if hook, err := c.TemplateWebhook(cmd.Context(), argv[0]); err == nil && hook.Problem != "" {
					_, err := fmt.Fprintf(w, "What was pushed to %s is not among them: %s\n", oneLine(hook.Repository), oneLine(hook.Problem))
					return err
				}
				return nil
			})
		},
	}
}

func newTemplatesActivateCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "activate NAME VERSION", Aliases: []string{"promote"}, Short: "Make a version the one that new workspaces get", Args: args(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeTemplate,
		Example:           "  adit templates activate process 3    # back to an earlier one",
		RunE: func(cmd *cobra.Command, argv []string) error {
			n, err := strconv.Atoi(argv[1])
			if err != nil || n < 1 {
				return usagef("version %q: want a number, as 'adit templates versions %s' lists them", argv[1], argv[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.ActivateVersion(cmd.Context(), argv[0], n); err != nil {
				return noTemplate(err, argv[0])
			}
			done := struct {
				Template string `json:"template"`
				Version  int    `json:"active_version"`
			}{argv[0], n}
			return a.print(done, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Version %d of template %s is active: new workspaces get it, 'adit update WORKSPACE' takes others there.\n", n, argv[0])
				return err
			})
		},
	}
}

func newTemplatesPullCmd(a *app) *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use: "pull NAME [DIR]", Short: "Write a template's files out", Args: args(cobra.RangeArgs(1, 2)), ValidArgsFunction: a.completeTemplate,
		Example: `  adit templates pull process
  adit templates pull process old --version 2`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			name, dir := argv[0], path.Base(argv[len(argv)-1])
			if len(argv) == 2 {
				dir = argv[1]
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if version == 0 {
				t, err := c.Template(cmd.Context(), name)
				if err != nil {
					return noTemplate(err, name)
				}
				if version = t.ActiveNumber; version == 0 {
					return fmt.Errorf("template %s has no active version; choose one with --version, from 'adit templates versions %s'", name, name)
				}
			}
			files, err := c.VersionArchive(cmd.Context(), name, version)
			if err != nil {
				return noTemplate(err, name)
			}
			err = archive.Unpack(files, dir)
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("write the files into %s: %w; name another directory: adit templates pull %s DIR", dir, err, name)
			}
			if err != nil {
				return fmt.Errorf("write the files into %s: %w", dir, err)
			}
			done := struct {
				Directory string `json:"directory"`
				Version   int    `json:"version"`
			}{dir, version}
			return a.print(done, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Wrote version %d of template %s to %s.\n", version, name, dir)
				return err
			})
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "which version (default: the active one)")
	return cmd
}

func newTemplatesDeleteCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a template that no workspace uses", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		Example: "  adit templates delete process -y",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "Delete template "+argv[0]+" with all its versions?"); err != nil {
				return err
			}
			return noTemplate(c.DeleteTemplate(cmd.Context(), argv[0]), argv[0])
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// noTemplate says what to try when a template, or a version, is not there.
func noTemplate(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no template %s, or no such version; 'adit templates list' shows what there is", name)
	}
	return err
}

// completeTemplate completes a template's name.
func (a *app) completeTemplate(cmd *cobra.Command, argv []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil || len(argv) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return templateNames(cmd.Context(), c), cobra.ShellCompDirectiveNoFileComp
}

func templateNames(ctx context.Context, c *sdk.Client) []string {
	list, err := c.Templates(ctx)
	if err != nil {
		return nil // completion has nobody to tell
	}
	var names []string
	for i, t := range list { // sorted by name
		if i > 0 && list[i-1].Name == t.Name || i+1 < len(list) && list[i+1].Name == t.Name {
			t.Name = t.Organization + "/" + t.Name
		}
		names = append(names, t.Name)
	}
	return names
}

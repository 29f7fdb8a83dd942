package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newTemplatesWebhookCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhook", Short: "Have a template follow a branch of a git repository",
		Example: `  adit templates webhook create process --git https://git.example.com/templates.git --ref main -d process --promote
  adit templates webhook show process`,
	}
	cmd.AddCommand(newTemplatesWebhookCreateCmd(a), newTemplatesWebhookShowCmd(a), newTemplatesWebhookDeleteCmd(a))
	return cmd
}

func newTemplatesWebhookCreateCmd(a *app) *cobra.Command {
	var req sdk.CreateTemplateWebhook
	cmd := &cobra.Command{
		Use: "create NAME --git URL", Short: "Make a template's webhook, and print its URL and its secret", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		Long: `Make a template's webhook, and print its URL and its secret, this once. Enter both at
GitHub, GitLab, Gitea or Forgejo, for push events as application/json. The coordinator
then fetches the branch when somebody has pushed to it, with what you keep for its
server ('adit git-credentials set'), and makes a version of what has changed.`,
		Example: "  adit templates webhook create process --git https://git.example.com/templates.git --ref main -d process --promote",
		RunE: func(cmd *cobra.Command, argv []string) error {
			if req.Repository == "" {
				return usagef("name the repository with --git URL")
			}
			req.Directory = filepath.ToSlash(req.Directory)
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := c.CreateTemplateWebhook(cmd.Context(), argv[0], req)
			if err != nil {
				return noTemplate(err, argv[0])
			}
			return a.print(w, func(out io.Writer) error {
				_, err := fmt.Fprintf(out, "URL:     %s\nSecret:  %s\nThe secret is shown this once. Enter both where the repository is, for push events as application/json.\n", w.URL, w.Secret)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&req.Repository, "git", "", "URL of the repository")
	flags.StringVar(&req.Branch, "ref", "main", "branch that is followed")
	flags.StringVarP(&req.Directory, "directory", "d", ".", "where the template's files are in the repository")
	flags.BoolVar(&req.Promote, "promote", false, "make a version the active one when its import and Terraform's own tests succeed")
	return cmd
}

func newTemplatesWebhookShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show which branch a template follows, and what came of it", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		Example: "  adit templates webhook show process",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			w, err := c.TemplateWebhook(cmd.Context(), argv[0])
			if err != nil {
				return noTemplateWebhook(err, argv[0])
			}
			return a.print(w, func(out io.Writer) error {
				promote := "no"
				if w.Promote {
					promote = "yes"
				}
				last := ago(w.FetchedAt)
				if w.Commit != "" {
					last += ", " + w.Commit
				}
				_, err := fmt.Fprintf(out, "Repository:  %s\nBranch:      %s\nDirectory:   %s\nPromote:     %s\nURL:         %s\nBy:          %s\nPushed:      %s\nFetched:     %s\n",
					oneLine(w.Repository), oneLine(w.Branch), oneLine(w.Directory), promote, w.URL, oneLine(w.CreatedBy), ago(w.PushedAt), last)
				if err == nil && w.Problem != "" {
					next := "a push, or the forge's own redelivery, tries again"
					if w.NextAt != nil {
						next = "it is tried again"
					}
					_, err = fmt.Fprintf(out, "Problem:     %s (%s)\n", oneLine(w.Problem), next)
				}
				return err
			})
		},
	}
}

func newTemplatesWebhookDeleteCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Have a template follow nothing any more", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		Example: "  adit templates webhook delete process",
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return noTemplateWebhook(c.DeleteTemplateWebhook(cmd.Context(), argv[0]), argv[0])
		},
	}
}

// noTemplateWebhook says that a template follows nothing.
func noTemplateWebhook(err error, name string) error {
	if errors.Is(err, sdk.ErrNotFound) {
		return fmt.Errorf("no template %s that follows a repository; 'adit templates webhook create %s --git URL' has it follow one", name, name)
	}
	return err
}

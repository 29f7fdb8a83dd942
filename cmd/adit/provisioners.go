package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
)

func newProvisionersCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "provisioners", Short: "Manage provisioners, which run Terraform, and their keys",
		Example: `  adit provisioners list
  adit provisioners jobs --status queued
  adit provisioners keys create lab --tag site=lab`,
	}
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List provisioners", Args: args(cobra.NoArgs),
		Example: "  adit provisioners list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Provisioners(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				if len(list) == 0 {
					_, err := fmt.Fprintln(w, "No provisioners. Run one apart: make a key with 'adit provisioners keys create NAME', then 'adit provisioner' on its host.")
					return err
				}
				var rows [][]string
				for _, p := range list {
					key := p.Key
					if key == "" {
						key = "built in"
					}
					seen := ago(&p.LastSeenAt)
					switch {
					case p.Connected && p.Draining:
						seen = "draining"
					case p.Connected:
						seen = "connected"
					}
					rows = append(rows, []string{p.Name, key, tagText(p.Tags), fmt.Sprintf("%d of %d", p.Running, p.Slots), p.Version, p.TerraformVersion, seen})
				}
				return writeTable(w, []string{"PROVISIONER", "KEY", "TAGS", "BUSY", "VERSION", "TERRAFORM", "LAST SEEN"}, rows)
			})
		},
	}
	keys := &cobra.Command{
		Use: "keys", Short: "Manage the keys that provisioners join with",
		Example: `  adit provisioners keys create lab --tag site=lab
  adit provisioners keys delete lab`,
	}
	keys.AddCommand(newKeysCreateCmd(a), newKeysListCmd(a), newKeysDeleteCmd(a))
	cmd.AddCommand(list, newJobsCmd(a), keys)
	return cmd
}

// maxJobs is how many jobs are listed unless more are asked for.
const maxJobs = 50

func newJobsCmd(a *app) *cobra.Command {
	var status string
	var limit int
	cmd := &cobra.Command{
		Use: "jobs", Short: "List jobs: imports and builds that wait, run or are over, the newest first", Args: args(cobra.NoArgs),
		Example: `  adit provisioners jobs
  adit provisioners jobs --status queued     # and what they wait for
  adit provisioners jobs -o json | jq -r '.[] | select(.job.status == "running").provisioner'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit %d: want 1 or more", limit)
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			o := sdk.ListOptions{PageSize: min(limit, maxJobs)}
			if status != "" {
				o.Query = "status:" + status
			}
			list := []sdk.ProvisionerJob{}
			for j, err := range c.EachProvisionerJob(cmd.Context(), o) {
				if err != nil {
					return err
				}
				if list = append(list, j); len(list) == limit {
					break
				}
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, j := range list {
					of := fmt.Sprintf("%s/%s, version %d", j.Organization, j.Template, j.Version)
					if j.Workspace != "" {
						of = fmt.Sprintf("%s/%s, build %d", j.Owner, j.Workspace, j.Build)
					}
					why := j.Job.Error
					if j.Job.Waiting != nil {
						why = j.Job.Waiting.Message
					}
					rows = append(rows, []string{j.Kind, of, j.Job.Status, orDash(j.Provisioner), tagText(j.Tags), ago(&j.Job.CreatedAt), took(j.Job), orDash(oneLine(why))})
				}
				return writeTable(w, []string{"JOB", "OF", "STATUS", "PROVISIONER", "TAGS", "ASKED FOR", "TOOK", "WHY"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "queued, running, succeeded, failed or canceled alone")
	cmd.Flags().IntVar(&limit, "limit", maxJobs, "how many at most")
	return cmd
}

func newKeysCreateCmd(a *app) *cobra.Command {
	var tags []string
	var organization string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a key and print it", Args: args(cobra.ExactArgs(1)),
		Example: `  adit provisioners keys create lab --tag site=lab
  ADIT_PROVISIONER_KEY=$(adit provisioners keys create lab -o json | jq -r .key) adit provisioner`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			m, err := pairs("tag", tags)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			k, err := c.CreateProvisionerKey(cmd.Context(), sdk.CreateProvisionerKey{Name: argv[0], Tags: m, Organization: organization})
			if errors.Is(err, sdk.ErrConflict) {
				return fmt.Errorf("there is a key %s already; choose another name, or delete it with 'adit provisioners keys delete %s'", argv[0], argv[0])
			}
			if err != nil {
				return err
			}
			return a.print(k, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, k.Text)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "KEY=VALUE that its provisioners have")
	cmd.Flags().StringVar(&organization, "organization", "", "organization that its provisioners work for (default: the default one)")
	return cmd
}

func newKeysListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List keys", Args: args(cobra.NoArgs), Example: "  adit provisioners keys list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.ProvisionerKeys(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, k := range list {
					rows = append(rows, []string{k.Name, k.Organization, tagText(k.Tags), ago(&k.CreatedAt)})
				}
				return writeTable(w, []string{"KEY", "ORGANIZATION", "TAGS", "CREATED"}, rows)
			})
		},
	}
}

func newKeysDeleteCmd(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete [ORGANIZATION/]NAME", Short: "Revoke a key, which ends its provisioners' sessions", Args: args(cobra.ExactArgs(1)),
		Example: `  adit provisioners keys delete lab
  adit provisioners keys delete research/lab    # several organizations have a lab`,
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "Revoke key "+argv[0]+", and end what runs with it?"); err != nil {
				return err
			}
			err = c.DeleteProvisionerKey(cmd.Context(), argv[0])
			if errors.Is(err, sdk.ErrNotFound) {
				return fmt.Errorf("no key %s; 'adit provisioners keys list' shows them", argv[0])
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// tagText writes tags as they are given.
func tagText(tags map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, k+"="+tags[k])
	}
	return orDash(strings.Join(parts, ","))
}

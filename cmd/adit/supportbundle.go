package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/redact"
	"github.com/aditmesh/adit/pkg/sdk"
)

func newSupportBundleCmd(a *app) *cobra.Command {
	var file string
	var noNetcheck bool
	cmd := &cobra.Command{
		Use: "support-bundle", Short: "Gather what somebody who helps needs to know, without secrets",
		Long: `Gather what somebody who helps needs to know into one archive: the coordinator's
version, configuration, health, metrics, goroutines and last lines of log (for owners
and auditors), this machine's netcheck, and the workspaces that you may see.
Tokens, passwords and keys are taken out; names of people, workspaces and hosts stay.
Look into it before you give it away.`,
		Example: `  adit support-bundle
  adit support-bundle -f bundle.tar.gz && tar -tzf bundle.tar.gz`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				file = "adit-support-" + time.Now().Format("20060102-150405") + ".tar.gz"
			}
			return supportBundle(cmd.Context(), a, file, noNetcheck)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file to write (default: adit-support-TIME.tar.gz)")
	cmd.Flags().BoolVar(&noNetcheck, "no-netcheck", false, "leave this machine's network out")
	a.pathFlags(cmd)
	return cmd
}

func supportBundle(ctx context.Context, a *app, file string, noNetcheck bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var files []sdk.SupportFile
	var refused strings.Builder
	add := func(name string, v any, err error) {
		text, jsonErr := json.MarshalIndent(v, "", "  ")
		if err == nil {
			err = jsonErr
		}
		if err != nil { // the rest helps, too
			fmt.Fprintf(&refused, "%s: %v\n", name, err)
			return
		}
		files = append(files, sdk.SupportFile{Name: name, Text: string(text) + "\n"})
	}
	add("client/version.json", map[string]string{
		"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "coordinator": c.URL().Redacted(),
	}, nil)
	server, err := c.Support(ctx)
	if err != nil {
		fmt.Fprintf(&refused, "server: %v\n", err)
	}
	for _, f := range server.Files {
		files = append(files, sdk.SupportFile{Name: "server/" + f.Name, Text: f.Text})
	}
	workspaces, err := seenWorkspaces(ctx, c)
	add("client/workspaces.json", workspaces, err)
	if !noNetcheck {
		network, err := netcheck(ctx, a)
		add("client/netcheck.json", network, err)
	}
	if refused.Len() > 0 {
		files = append(files, sdk.SupportFile{Name: "missing.txt", Text: refused.String()})
	}
	clean := redact.New(c.Token())
	for i, f := range files {
		files[i].Text = clean.Text(f.Text)
	}
	raw, err := packed(files)
	if err != nil {
		return fmt.Errorf("pack the bundle: %w", err)
	}
	if err := writeFileAtomic(file, raw, 0o600); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	written := struct {
		File    string   `json:"file"`
		Missing []string `json:"missing"`
	}{file, []string{}}
	for line := range strings.Lines(refused.String()) {
		written.Missing = append(written.Missing, strings.TrimSpace(line))
	}
	return a.print(written, func(w io.Writer) error {
		fmt.Fprintf(w, "Wrote %s. Look into it before you give it away.\n", file)
		for _, line := range written.Missing {
			fmt.Fprintln(w, "Missing: "+oneLine(line))
		}
		return nil
	})
}

// seenWorkspace is what of a workspace helps; parameters of builds, which people
// put secrets into, are none of it.
type seenWorkspace struct {
	Owner, Name, Phase, Template string
	TemplateVersion              int
	Conditions                   []sdk.Condition
	Agents                       []sdk.Agent
	JobStatus, JobError          string
}

// seenWorkspaces lists everybody's workspaces, or one's own if that is all that
// one may see.
func seenWorkspaces(ctx context.Context, c *sdk.Client) ([]seenWorkspace, error) {
	list, err := c.Workspaces(ctx, "all")
	if err != nil {
		list, err = c.Workspaces(ctx, "me")
	}
	seen := []seenWorkspace{}
	for _, w := range list {
		s := seenWorkspace{
			Owner: w.Owner, Name: w.Name, Phase: w.Phase, Template: w.Template, TemplateVersion: w.TemplateVersion,
			Conditions: w.Conditions, Agents: w.Agents,
		}
		if w.LatestBuild != nil {
			s.JobStatus, s.JobError = w.LatestBuild.Job.Status, w.LatestBuild.Job.Error
		}
		seen = append(seen, s)
	}
	return seen, err
}

// packed makes an archive of files.
func packed(files []sdk.SupportFile) ([]byte, error) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	archive := tar.NewWriter(zipped)
	now := time.Now()
	for _, f := range files {
		if err := archive.WriteHeader(&tar.Header{Name: "adit-support/" + f.Name, Mode: 0o600, Size: int64(len(f.Text)), ModTime: now}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, f.Text); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

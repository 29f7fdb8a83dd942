package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/sdk"
)

// deleteWithin is how long the end of a scratch workspace may take when whoever tests
// has had enough.
const deleteWithin = 5 * time.Minute

type testFlags struct {
	dir, terraform                       string
	version                              int
	parameters, variables, tags, mirrors []string
}

// testStep is one step of the test of a template.
type testStep struct {
	Step    string  `json:"step"`
	Result  string  `json:"result"` // passed, failed or skipped
	Seconds float64 `json:"seconds"`
	Why     string  `json:"why,omitempty"`
}

func newTemplatesTestCmd(a *app) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Try a template out: Terraform's tests, and a workspace from create to delete",
		Long: `Try a template out. With -d the directory's *.tftest.hcl are run by the Terraform on
this machine, and its files become a version that is not active. A scratch workspace
is made from it (or from the active version), entered over SSH, stopped, started,
entered again, and deleted whatever became of it.`,
		Example: `  adit templates test process -d .
  adit templates test process --version 3 --parameter cpu=2
  adit templates test process -d . && adit templates activate process 4`,
		Args: args(cobra.ExactArgs(1)), ValidArgsFunction: a.completeTemplate,
		RunE: func(cmd *cobra.Command, argv []string) error {
			if f.dir != "" && f.version != 0 {
				return usagef("-d makes a version and --version names one; use one of the two")
			}
			given, err := pairs("parameter", f.parameters)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			steps, err := f.run(cmd.Context(), a, c, argv[0], given)
			if perr := a.print(steps, func(w io.Writer) error { return nil }); perr != nil {
				return perr
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.dir, "directory", "d", "", "where the template's files are, which are pushed as a version that is not active")
	flags.IntVar(&f.version, "version", 0, "version of the template, if nothing is pushed (default: the active one)")
	flags.StringArrayVarP(&f.parameters, "parameter", "p", nil, "NAME=VALUE of a parameter of the template")
	flags.StringArrayVar(&f.variables, "variable", nil, "NAME=VALUE of one of the template's input variables")
	flags.StringArrayVar(&f.tags, "tag", nil, "KEY=VALUE: have it run by provisioners with this tag alone")
	flags.StringVar(&f.terraform, "terraform", "", "the terraform or tofu that runs *.tftest.hcl (default: that on PATH)")
	flags.StringArrayVar(&f.mirrors, "provider-mirror", nil, "directory with provider plugins for that")
	return cmd
}

// testRun runs steps and keeps how they ended.
type testRun struct {
	a    *app
	done []testStep
}

// step runs one, unless one before it failed, and says how it ended.
func (t *testRun) step(name string, f func() (skipped string, err error)) error {
	for _, d := range t.done {
		if d.Result == "failed" {
			return nil
		}
	}
	began := time.Now()
	skipped, err := f()
	one := testStep{Step: name, Result: "passed", Seconds: time.Since(began).Seconds(), Why: skipped}
	switch {
	case err != nil:
		one.Result, one.Why = "failed", err.Error()
	case skipped != "":
		one.Result = "skipped"
	}
	t.done = append(t.done, one)
	fmt.Fprintf(t.a.err, "%-8s %-14s %s %s\n", one.Result, name, seconds(time.Since(began)), oneLine(one.Why))
	return err
}

// run runs all steps. A workspace that was made is deleted in any case.
func (f testFlags) run(ctx context.Context, a *app, c *sdk.Client, template string, params map[string]string) ([]testStep, error) {
	t := &testRun{a: a, done: []testStep{}}
	variables, err := pairs("variable", f.variables)
	if err != nil {
		return t.done, err
	}
	tags, err := pairs("tag", f.tags)
	if err != nil {
		return t.done, err
	}
	err = t.step("terraform test", func() (string, error) { return f.terraformTest(ctx, a, variables) })
	version := f.version
	if f.dir != "" {
		err = errors.Join(err, t.step("import", func() (string, error) {
			packed, err := archive.Pack(f.dir)
			if err != nil {
				return "", explainPack(err, f.dir)
			}
			v, err := push(ctx, a, c, template, sdk.PushVersion{Archive: packed, Variables: variables, Tags: tags, Inactive: true, Message: "adit templates test"})
			version = v.Number
			return "", err
		}))
	}
	raw := make([]byte, 4)
	rand.Read(raw)
	name := "test-" + hex.EncodeToString(raw)
	var w sdk.Workspace
	err = errors.Join(err, t.step("create", func() (string, error) {
		v, err := findVersion(ctx, c, template, version)
		if err != nil {
			return "", err
		}
		made, err := c.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, Template: template, Version: v.Number, Parameters: params})
		if err != nil {
			return "", fmt.Errorf("make workspace %s: %w", name, err)
		}
		w = made.Workspace
		w, err = a.finishBuild(ctx, c, w, *made.LatestBuild)
		return "", err
	}))
	enter := func() (string, error) {
		if len(w.Agents) == 0 {
			return "the template has no agent", nil
		}
		return "", a.enter(ctx, w)
	}
	move := func(transition string) func() (string, error) {
		return func() (string, error) {
			moved, err := a.build(ctx, c, w, sdk.NewBuild{Transition: transition}, false)
			w = moved
			return "", err
		}
	}
	err = errors.Join(err, t.step("ssh", enter), t.step("stop", move(sdk.TransitionStop)), t.step("start", move(sdk.TransitionStart)), t.step("ssh again", enter))
	if w.Name == "" {
		return t.done, err
	}
	// Whoever has had enough wants it gone, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteWithin)
	defer cancel()
	failed := t.done
	t.done = nil // it is deleted whatever failed
	err = errors.Join(err, t.step("delete", func() (string, error) {
		now, err := c.Workspace(ctx, w.Owner, w.Name)
		if err != nil {
			return "", err
		}
		if b := now.LatestBuild; b != nil && !b.Job.Done() {
			if err := c.CancelBuild(ctx, w.Owner, w.Name, b.Number, false); err == nil {
				_, _ = a.finishBuild(ctx, c, now, *b) // canceled, which is no success
			}
		}
		_, err = a.build(ctx, c, now, sdk.NewBuild{Transition: sdk.TransitionDelete}, false)
		return "", err
	}))
	return append(failed, t.done...), err
}

// enter runs a command in a workspace over SSH, once its startup scripts are done.
func (a *app) enter(ctx context.Context, w sdk.Workspace) error {
	t, err := a.connect(ctx, w.Ref(), waitWatched)
	if err != nil {
		return err
	}
	defer t.node.Close()
	if err := a.awaitScripts(ctx, t, true, waitWatched); err != nil {
		return err
	}
	conn, err := t.node.DialTCP(ctx, netip.AddrPortFrom(t.addr, sshPort))
	if err != nil {
		return fmt.Errorf("connect to workspace %s: %w", t.name, err)
	}
	defer conn.Close()
	return runSSH(ctx, a, conn, t, sshFlags{noTTY: true}, nil, []string{"true"})
}

// terraformTest runs the tests of a directory, if it has any.
func (f testFlags) terraformTest(ctx context.Context, a *app, variables map[string]string) (skipped string, err error) {
	if f.dir == "" {
		return "nothing is pushed", nil
	}
	found := false
	for _, pattern := range []string{"*.tftest.hcl", "*.tftest.json", "tests/*.tftest.hcl", "tests/*.tftest.json"} {
		list, err := filepath.Glob(filepath.Join(f.dir, pattern))
		if err != nil {
			return "", err
		}
		found = found || len(list) > 0
	}
	if !found {
		return "there is no *.tftest.hcl", nil
	}
	temp, err := os.MkdirTemp("", "adit-template-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	packed, err := archive.Pack(f.dir)
	if err != nil {
		return "", explainPack(err, f.dir)
	}
	files := filepath.Join(temp, "job", "files")
	if err := os.MkdirAll(filepath.Dir(files), 0o700); err != nil {
		return "", err
	}
	if err := archive.Unpack(packed, files); err != nil {
		return "", fmt.Errorf("write the files out: %w", err)
	}
	return "", runTerraformTests(ctx, a, f, temp, files, variables)
}

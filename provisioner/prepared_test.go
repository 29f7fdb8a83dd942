package provisioner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
	"github.com/aditmesh/adit/provisioner/terraform"
)

// counted is a Terraform that writes down what it is started for.
type counted struct {
	*testing.T
	path, log string
}

func newCounted(t *testing.T) counted {
	t.Helper()
	c := counted{t, filepath.Join(t.TempDir(), "terraform"), filepath.Join(t.TempDir(), "log")}
	c.install("")
	return c
}

// install writes it anew; note makes it another than before.
func (c counted) install(note string) {
	c.Helper()
	script := "#!/bin/sh\n#" + note + "\necho \"$1\" >> " + c.log + "\nexec terraform \"$@\"\n"
	if err := os.WriteFile(c.path, []byte(script), 0o755); err != nil {
		c.Fatal(err)
	}
}

// started returns what it was started for since it was asked last.
func (c counted) started() []string {
	c.Helper()
	raw, err := os.ReadFile(c.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.Fatal(err)
	}
	if err := os.WriteFile(c.log, nil, 0o600); err != nil {
		c.Fatal(err)
	}
	return strings.Fields(string(raw))
}

func (c counted) want(when string, commands ...string) {
	c.Helper()
	if got := c.started(); !slices.Equal(got, commands) {
		c.Errorf("%s: Terraform was started for %v, want %v", when, got, commands)
	}
}

func TestABuildStartsTerraformTwice(t *testing.T) {
	c := newCoordinator(t)
	tf := newCounted(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Exec, cfg.Terraform.Adit = tf.path, standin.Path(t)
	start(t, cfg)
	c.order("i", agents, anImport)
	lock := c.succeed("i").GetTemplate().GetLockFile()
	tf.want("import", "version", "init", "plan")
	locked := func(j *provisionerv1.Job) { j.LockFile = lock }
	c.order("b1", agents, locked)
	c.succeed("b1")
	tf.want("build", "plan", "apply")
	c.awaitLog("b1", "Initialized as an earlier job was")
	// Nor has it other work when there is something to destroy.
	c.note(func() { c.states["b2"] = c.states["b1"] })
	c.order("b2", agents, func(j *provisionerv1.Job) {
		locked(j)
		j.GetBuild().Transition = provisionerv1.Transition_DELETE
	})
	c.succeed("b2")
	tf.want("delete", "plan", "apply")
	if got := resourcesIn(t, c.state("b2")); got != 0 {
		t.Errorf("state has %d resources after delete", got)
	}
}

func TestInitIsRunAgainWhenItCouldDoOtherwise(t *testing.T) {
	c := newCoordinator(t)
	tf := newCounted(t)
	dir := t.TempDir()
	cfg := c.config(dir)
	cfg.Terraform.Exec, cfg.Terraform.Adit = tf.path, standin.Path(t)
	start(t, cfg)
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, "main.tf"), []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	const anew = "version init plan apply"
	c.order("i", agents, anImport)
	lock := c.succeed("i").GetTemplate().GetLockFile()
	tf.started()
	variable := "variable \"x\" { default = \"\" }\n" + agents
	fetched := "module \"m\" { source = \"" + elsewhere + "\" }\n"
	for _, step := range []struct {
		id, template string
		before       func()
		change       func(*provisionerv1.Job)
		want         string
	}{
		{id: "the same", template: agents, want: "plan apply"},
		{id: "other files", template: variable, want: "init plan apply"},
		{id: "other values", template: variable, want: "init plan apply", change: func(j *provisionerv1.Job) { j.Variables = map[string]string{"x": "y"} }},
		{id: "no lock file", template: agents, want: "init plan apply", change: func(j *provisionerv1.Job) { j.LockFile = nil }},
		{id: "a module from elsewhere", template: fetched, want: "init plan apply"},
		{id: "a module from elsewhere again", template: fetched, want: "init plan apply"},
		{id: "another Terraform", template: agents, want: anew, before: func() { tf.install("another") }},
		{id: "an emptied cache", template: agents, want: "init plan apply", before: func() {
			if err := os.RemoveAll(filepath.Join(dir, "terraform", "cache", "registry.terraform.io")); err != nil {
				t.Fatal(err)
			}
		}},
		{id: "the same after all", template: agents, want: "plan apply"},
	} {
		if step.before != nil {
			step.before()
		}
		c.order(step.id, step.template, func(j *provisionerv1.Job) {
			j.LockFile = lock
			if step.change != nil {
				step.change(j)
			}
		})
		c.succeed(step.id)
		tf.want(step.id, strings.Fields(step.want)...)
	}
}

// A provider may have hundreds of megabytes.
func TestProvidersAreLinkedIntoJobs(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	cfg := c.config(dir)
	cfg.Terraform.Adit = standin.Path(t)
	start(t, cfg)
	template := agents + `
resource "terraform_data" "looks" {
  provisioner "local-exec" { command = "cd ../terraform/providers; echo there are $(find . -type f | wc -l) copies and $(find . -type l | wc -l) links" }
}
`
	c.order("i", template, anImport)
	lock := c.succeed("i").GetTemplate().GetLockFile()
	kept := func() os.FileInfo {
		found, err := filepath.Glob(filepath.Join(dir, "terraform", "cache", filepath.FromSlash(terraform.Source), "*", "*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("cached are %v, %v", found, err)
		}
		info, err := os.Lstat(found[0])
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	cached := kept()
	for _, id := range []string{"as it was", "again", "initialized anew"} {
		c.order(id, template, func(j *provisionerv1.Job) {
			if j.LockFile = lock; id == "initialized anew" {
				j.LockFile = nil
			}
		})
		c.succeed(id)
		c.awaitLog(id, "there are 0 copies and 1 links")
	}
	if now := kept(); !os.SameFile(cached, now) || !now.ModTime().Equal(cached.ModTime()) {
		t.Error("the cache was written to")
	}
}

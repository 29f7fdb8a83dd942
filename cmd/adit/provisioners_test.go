package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// withProvisioners starts a server that has none built in, with a key for others.
func withProvisioners(t *testing.T, bin string) (d *deployment, key string) {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	d = newDeployment(t, "--provisioners", "0", "--relay=false")
	if bin != "" {
		d.bin = bin
	}
	d.laptop, d.devbox = d.lab.Host("laptop"), d.lab.Host("builder")
	d.startServer()
	d.login()
	var made sdk.CreatedProvisionerKey
	d.json(&made, "provisioners", "keys", "create", "lab", "--tag", "site=lab", "-o", "json")
	return d, made.Text
}

// provision starts a provisioner, apart from the server.
func (d *deployment) provision(bin, key string, args ...string) *program {
	d.t.Helper()
	args = append([]string{"provisioner", "--url", d.urlFor(d.devbox), "--token", key, "--data-dir", filepath.Join(d.dir, "builder")}, args...)
	cmd := d.devbox.Command(d.t.Context(), bin, args...)
	cmd.Env, cmd.Dir = d.env(), d.dir
	return d.run(d.devbox, "provisioner.log", cmd)
}

// soon is how soon people are told what a job waits for, and some time for programs
// to start on a busy machine.
const soon = 2*time.Second + 3*time.Second

// told waits for a line that somebody has to be told soon.
func (p *program) told(text string) {
	p.t.Helper()
	began := time.Now()
	p.waitFor(text)
	took := time.Since(began).Round(10 * time.Millisecond)
	p.t.Logf("told after %v: %s", took, text)
	if took > soon {
		p.t.Errorf("it took %v to tell: %s", took, text)
	}
}

// Who waits for a provisioner is told so, one that is told to stop ends its jobs
// first, and one that is told twice interrupts them.
func TestProvisionersOfATeam(t *testing.T) {
	d, key := withProvisioners(t, "")
	dir, file := filepath.Join(d.dir, "template"), filepath.Join(d.dir, "go-on")
	main := `
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "echo it-began; until test -e '` + file + `'; do sleep 0.05; done" }
}
`
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	push := d.start(d.laptop, "push.log", "templates", "push", "slow", "-d", dir, "--tag", "site=lba")
	push.told("there is no provisioner; one that is run with 'adit provisioner' --tag site=lba takes it")
	builder := d.provision(d.bin, key, "--slots", "1")
	builder.waitFor("ready for jobs")
	push.told("no provisioner has the tags site=lba; the nearest there is has site=lab")
	push.stop()
	d.must("templates", "push", "slow", "-d", dir, "--tag", "site=lab")

	one := d.start(d.laptop, "one.log", "create", "one", "--template", "slow")
	one.waitFor("it-began")
	two := d.start(d.laptop, "two.log", "create", "two", "--template", "slow")
	two.told("number 1 in the queue: 1 of 1 slots of the provisioners that take it are busy (tags site=lab)")
	if out := d.must("show", "two"); !strings.Contains(out, "provisioner-found=true number 1 in the queue") {
		t.Errorf("show does not say what it waits for:\n%s", out)
	}

	if err := builder.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	builder.waitFor("taking no more jobs")
	two.told("every provisioner that takes it is about to stop (tags site=lab)")
	if out := d.must("provisioners", "list"); !strings.Contains(out, "draining") {
		t.Errorf("it drains, and in the list is\n%s", out)
	}
	if out := d.must("show", "two"); !strings.Contains(out, "provisioner-found=false every provisioner") {
		t.Errorf("show does not say what it waits for:\n%s", out)
	}
	var jobs []sdk.ProvisionerJob
	d.json(&jobs, "provisioners", "jobs", "-o", "json")
	got := make([]string, 0, len(jobs))
	for _, j := range jobs {
		got = append(got, strings.Join([]string{j.Kind, j.Template, j.Workspace, j.Job.Status}, " "))
	}
	if want := []string{"start slow two queued", "start slow one running", "import slow  succeeded", "import slow  queued"}; !slices.Equal(got, want) {
		t.Errorf("the jobs are %q, want %q", got, want)
	}
	if out := d.must("provisioners", "jobs", "--status", "running"); !strings.Contains(out, "alice/one, build 1") || strings.Contains(out, "alice/two") {
		t.Errorf("those that run are\n%s", out)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := one.wait(); err != nil {
		t.Errorf("the build that ran when its provisioner was told to stop: %v", err)
	}
	if err := builder.wait(); err != nil {
		t.Errorf("the provisioner ended with %v", err)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	two.told("no provisioner that takes it is connected (tags site=lab)")
	builder = d.provision(d.bin, key, "--slots", "1")
	two.waitFor("it-began")
	for _, text := range []string{"taking no more jobs", "interrupting the jobs"} {
		if err := builder.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		builder.waitFor(text)
	}
	two.waitFor("the provisioner was stopped; Terraform was interrupted")
	if err := builder.wait(); err != nil {
		t.Errorf("the provisioner ended with %v", err)
	}
}

// A provisioner two minor versions newer than its coordinator is told so.
func TestAProvisionerOfAFarRelease(t *testing.T) {
	dir := t.TempDir()
	release := func(version string) string {
		bin := filepath.Join(dir, version)
		build := exec.Command("go", "build", "-ldflags", "-X main.version="+version, "-o", bin, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return bin
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	d, key := withProvisioners(t, release("v1.4.0"))
	d.provision(release("v1.6.0"), key).waitFor("they may be one minor version apart: run a provisioner of 1.3 to 1.5")
}

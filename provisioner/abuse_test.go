package provisioner

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/aditmesh/adit/pkg/archive"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

// Terraform takes two seconds a megabyte to pass on what a command says.
func TestALogThatIsTooLongIsCut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	c.order("b", `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "yes 'a line of log that nobody will read to its end' | head -c 4500000; head -c 200000 /dev/zero | tr '\\0' x; exit 1" }
}
`, nil)
	if why := c.fail("b"); !strings.Contains(why, "exit status 1") {
		t.Errorf("error is %q", why)
	}
	c.awaitLog("b", "the log is longer than 4 MiB")
	size := 0
	for _, l := range c.log("b") {
		size += len(l)
		if len(l) > maxLine {
			t.Fatalf("a line has %d bytes", len(l))
		}
	}
	if size > maxLog+maxErrors+maxLine {
		t.Errorf("log has %d bytes", size)
	}
	c.order("next", two, nil)
	c.succeed("next")
}

// Gigabytes, as far as Terraform passes them on: a wrapper stands for the hours
// that takes.
func TestAJobThatWritesWithoutEndIsEnded(t *testing.T) {
	c := newCoordinator(t)
	real, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("needs terraform")
	}
	bin := t.TempDir()
	script := `#!/bin/sh
if [ "$1" = apply ]; then
	exec yes '{"@level":"info","@message":"terraform_data.x: (local-exec): y","@module":"terraform.ui","type":"provision_progress"}'
fi
exec ` + real + ` "$@"
`
	if err := os.WriteFile(filepath.Join(bin, "terraform"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	startApart(t, c, t.TempDir(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	c.order("b", two, nil)
	if why := c.fail("b"); !strings.Contains(why, "said more than 256 MiB") {
		t.Errorf("error is %q", why)
	}
	c.awaitLog("b", "said more than 256 MiB") // after all that was left out
}

func TestTenThousandResources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	c := newCoordinator(t)
	startApart(t, c, t.TempDir())
	c.order("i", `resource "terraform_data" "x" { count = 10000 }`, anImport)
	if n := len(c.succeed("i").GetTemplate().GetResources()); n != 10000 {
		t.Errorf("import found %d resources", n)
	}
}

func TestMoreResourcesThanAJobMayHaveAreRefused(t *testing.T) {
	list := make([]*provisionerv1.Resource, maxResources+1)
	if err := tooMany(list); err == nil || !strings.Contains(err.Error(), "20001 resources") {
		t.Errorf("error is %v", err)
	}
	if err := tooMany(list[1:]); err != nil {
		t.Error(err)
	}
}

// Three hundred stand for ten thousand: Terraform's time grows with the square.
func TestHundredsOfResourcesAreBuilt(t *testing.T) {
	c := newCoordinator(t)
	startApart(t, c, t.TempDir())
	const many = `resource "terraform_data" "x" { count = 300 }`
	c.order("b", many, nil)
	if n := len(c.succeed("b").GetResources()); n != 300 {
		t.Errorf("the build made %d resources", n)
	}
	c.note(func() { c.states["d"] = c.states["b"] })
	c.order("d", many, func(j *provisionerv1.Job) { j.GetBuild().Transition = provisionerv1.Transition_DELETE })
	c.succeed("d")
	if n := resourcesIn(t, c.state("d")); n != 0 {
		t.Errorf("%d resources are left", n)
	}
}

func TestTwoAgentsOfOneNameAreRefused(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Adit = standin.Path(t)
	start(t, cfg)
	const twins = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}
resource "adit_agent" "a" { name = "main" }
resource "adit_agent" "b" { name = "main" }
`
	c.order("i", twins, anImport)
	c.order("b", twins, nil)
	for _, id := range []string{"i", "b"} {
		why := c.fail(id)
		if !strings.Contains(why, `main.tf:8: Two agents are called "main": adit_agent.a and adit_agent.b`) {
			t.Errorf("error of %s is %q", id, why)
		}
		if p := c.result(id).GetProblems(); len(p) != 1 || p[0].GetFile() != "main.tf" || p[0].GetLine() != 8 {
			t.Errorf("problems of %s are %v", id, p)
		}
	}
	if c.state("b") != "" {
		t.Error("something was made")
	}
	c.order("next", two, nil)
	c.succeed("next")
}

// Installed after the provisioner was started, or never.
func TestTerraformThatIsMissingOrTooOld(t *testing.T) {
	program := filepath.Join(t.TempDir(), "terraform")
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Exec = program
	start(t, cfg)
	c.order("missing", two, nil)
	if why := c.fail("missing"); !strings.Contains(why, program) {
		t.Errorf("without a Terraform: %q", why)
	}
	old := "#!/bin/sh\necho '{\"terraform_version\": \"1.4.6\"}'\n"
	if err := os.WriteFile(program, []byte(old), 0o755); err != nil {
		t.Fatal(err)
	}
	c.order("old", two, nil)
	if why := c.fail("old"); !strings.Contains(why, "there is only 1.4.6") || !strings.Contains(why, "1.9 or newer") {
		t.Errorf("with an old one: %q", why)
	}
}

func TestAProviderThatCrashes(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	mirror := t.TempDir()
	pkg := filepath.Join(mirror, "registry.terraform.io/acme/crash/1.0.0", runtime.GOOS+"_"+runtime.GOARCH)
	if err := os.MkdirAll(pkg, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pkg, "terraform-provider-crash_v1.0.0"), []byte("#!/bin/sh\nkill -SEGV $$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Terraform.Mirrors = []string{mirror}
	start(t, cfg)
	c.order("b", `
terraform {
  required_providers {
    crash = { source = "acme/crash" }
  }
}
resource "crash_thing" "x" {}
`, nil)
	if why := c.fail("b"); !strings.Contains(why, "provider") && !strings.Contains(why, "plugin") {
		t.Errorf("error is %q", why)
	}
	c.order("next", two, nil)
	c.succeed("next")
}

func TestAFullDiskEndsTheBuildAndKeepsItsState(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := newCoordinator(t)
	stop := start(t, c.config(dir))
	defer stop() // before the disk goes
	c.order("b", `
resource "terraform_data" "first" {}
resource "terraform_data" "fill" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "echo it-began; while :; do head -c 1000000 /dev/zero >> filler || sleep 0.1; sleep 0.01; done" }
}
`, nil)
	if why := c.fail("b"); !strings.Contains(why, "disk of the provisioner is full") {
		t.Errorf("error is %q", why)
	}
	if got := resourcesIn(t, c.state("b")); got < 1 {
		t.Errorf("state has %d resources", got)
	}
	noJobs(t, dir)
	c.order("next", two, nil)
	c.succeed("next")
}

func TestADirectoryThatGrowsTooLargeEndsTheJob(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.MaxDisk = 20 << 20
	start(t, cfg)
	c.order("b", `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "head -c 50000000 /dev/zero > filler; sleep 1000" }
}
`, nil)
	if why := c.fail("b"); !strings.Contains(why, "MiB of disk, and may use 20") {
		t.Errorf("error is %q", why)
	}
}

func TestSecretsStayOutOfLogsAndErrors(t *testing.T) {
	c := newCoordinator(t)
	cfg := c.config(t.TempDir())
	cfg.Terraform.Environ = append(os.Environ(), "CLOUD_SECRET_KEY=cloud-credential-0815")
	start(t, cfg)
	token := "adit_agent_" + strings.Repeat("0123456789abcdef", 2) + "_c2VjcmV0"
	c.order("b", `
variable "key" {}
resource "terraform_data" "x" {
  input = var.key
  provisioner "local-exec" { command = "echo it is ${var.key}; echo ${base64encode(var.key)}; echo $CLOUD_SECRET_KEY; echo `+token+`; echo $ADIT_BUILD; exit 1" }
}
`, func(j *provisionerv1.Job) {
		j.Variables = map[string]string{"key": "hunter22-is-the-key"}
		j.Secrets = []string{"hunter22-is-the-key"}
		j.GetBuild().AgentSecret = []byte("of\nagents")
	})
	c.fail("b")
	c.awaitLog("b", "it is (sensitive)")
	said := strings.Join(c.log("b"), "\n") + fmt.Sprint(c.result("b"))
	for _, secret := range []string{"hunter22", "aHVudGVy", "cloud-credential", token, "b2YKYWdlbnRz"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q was told:\n%s", secret, said)
		}
	}
}

func TestAJobSeesNoneOfAditsSettingsNorAnotherJob(t *testing.T) {
	t.Setenv("ADIT_POSTGRES_URL", "postgres://of-the-coordinator")
	t.Setenv("DATABASE_URL", "postgres://of-somebody")
	t.Setenv("PGPASSWORD", "database-password")
	t.Setenv("ADIT_TOKEN", "a-token-of-adit")
	c := newCoordinator(t)
	start(t, c.config(t.TempDir()))
	const prints = `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "env; echo all-said" }
}
`
	for _, id := range []string{"b1", "b2"} {
		c.order(id, prints, func(j *provisionerv1.Job) {
			j.GetBuild().WorkspaceName = "workspace-of-" + id
		})
	}
	for _, id := range []string{"b1", "b2"} {
		c.succeed(id)
		c.awaitLog(id, "(local-exec): all-said") // the last lines may come after the result
		said := strings.Join(c.log(id), "\n")
		for _, secret := range []string{"postgres://", "database-password", "a-token-of-adit", map[string]string{"b1": "of-b2", "b2": "of-b1"}[id]} {
			if strings.Contains(said, secret) {
				t.Errorf("job %s sees %q:\n%s", id, secret, said)
			}
		}
		if !strings.Contains(said, "workspace-of-"+id) {
			t.Errorf("job %s does not see its own workspace:\n%s", id, said)
		}
	}
}

func TestTwoProvisionersDoNotShareADirectory(t *testing.T) {
	c := newCoordinator(t)
	dir := t.TempDir()
	start(t, c.config(dir))
	eventually(t, "the first one", func() bool { _, err := os.Stat(filepath.Join(dir, "terraform", "terraform.tfrc")); return err == nil })
	if err := Run(t.Context(), c.config(dir)); err == nil || !strings.Contains(err.Error(), "another provisioner") {
		t.Errorf("got %v", err)
	}
}

func TestArchivesReachNothingOutside(t *testing.T) {
	for name, h := range map[string]*tar.Header{
		"absolute":  {Name: "/etc/x", Typeflag: tar.TypeReg},
		"up":        {Name: "a/../../x", Typeflag: tar.TypeReg},
		"link":      {Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		"hard link": {Name: "x", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		"device":    {Name: "x", Typeflag: tar.TypeChar},
		"too large": {Name: "x", Typeflag: tar.TypeReg, Size: archive.MaxUnpacked + 1},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			zipped := gzip.NewWriter(&out)
			w := tar.NewWriter(zipped)
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			w.Flush()
			zipped.Close()
			if err := archive.Unpack(out.Bytes(), t.TempDir()); err == nil {
				t.Error("it was unpacked")
			}
		})
	}
}

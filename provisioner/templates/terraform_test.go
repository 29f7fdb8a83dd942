package templates_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
	"github.com/aditmesh/adit/provisioner/templates"
	"github.com/aditmesh/adit/provisioner/terraform"
)

func TestMain(m *testing.M) { os.Exit(standin.Run(m)) }

// example is a template, written out, and Terraform that finds its providers.
type example struct {
	*testing.T
	dir  string
	env  []string
	work *provisionerv1.Build
}

func write(t *testing.T, name string, mirrors ...string) *example {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("needs terraform")
	}
	e := &example{T: t, dir: filepath.Join(t.TempDir(), name), work: &provisionerv1.Build{
		BuildId: uuid.NewString(), WorkspaceId: uuid.NewString(), WorkspaceName: "dev", OwnerId: uuid.NewString(), OwnerName: "ann",
		OwnerEmail: "ann@example.com", TemplateName: name, AccessUrl: "https://adit.test", Number: 1, AgentSecret: make([]byte, 32),
	}}
	if err := templates.Write(name, e.dir); err != nil {
		t.Fatal(err)
	}
	installed := t.TempDir()
	if _, err := terraform.Install(terraform.Config{Dir: installed, Adit: standin.Path(t), Mirrors: mirrors, Environ: os.Environ()}); err != nil {
		t.Fatal(err)
	}
	e.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(installed, "terraform.tfrc"), "CHECKPOINT_DISABLE=1",
		"ADIT_EXECUTABLE="+standin.Path(t), "ADIT_DATA_DIR="+t.TempDir())
	return e
}

func (e *example) terraform(args ...string) string {
	e.Helper()
	build, err := protojson.Marshal(e.work)
	if err != nil {
		e.Fatal(err)
	}
	cmd := exec.Command("terraform", args...)
	cmd.Dir, cmd.Env = e.dir, append(e.env, "ADIT_BUILD="+string(build))
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Templates of adit's own resources are planned as a build plans them.
func TestOwnTemplatesArePlanned(t *testing.T) {
	for name, want := range map[string][2]string{
		"process":     {"3 to add", "2 to add"},
		"podman":      {"3 to add", "2 to add"},
		"docker":      {"3 to add", "2 to add"},
		"multi-agent": {"6 to add", "4 to add"},
	} {
		t.Run(name, func(t *testing.T) {
			e := write(t, name)
			e.env = append(e.env, "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "engine.sock")) // which is asked for nothing yet
			e.terraform("init", "-no-color")
			e.terraform("validate", "-no-color")
			for i, transition := range []provisionerv1.Transition{provisionerv1.Transition_START, provisionerv1.Transition_STOP} {
				e.work.Transition = transition
				if out := e.terraform("plan", "-no-color"); !strings.Contains(out, "Plan: "+want[i]) {
					t.Errorf("%v: the plan is not to %s:\n%s", transition, want[i], out)
				}
			}
		})
	}
}

// The template's own test says what is planned and made, with AWS mocked.
func TestAWSLinuxHoldsBeforeItsOwnTest(t *testing.T) {
	e := write(t, "aws-linux", standin.Mirror(t, "registry.terraform.io/hashicorp/aws"))
	e.terraform("init", "-no-color")
	e.terraform("validate", "-no-color")
	if out := e.terraform("test", "-no-color"); !strings.Contains(out, "Success! 2 passed") {
		t.Errorf("terraform test:\n%s", out)
	}
}

func TestTemplatesAreFormatted(t *testing.T) {
	for _, name := range templates.Names() {
		e := write(t, name)
		e.terraform("fmt", "-check", "-recursive")
		if _, err := os.Stat(filepath.Join(e.dir, "README.md")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

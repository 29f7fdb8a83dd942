package tfprovider_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/standin"
)

func TestMain(m *testing.M) { os.Exit(standin.Run(m)) }

// workspace is a directory of Terraform and the builds that go through it.
type workspace struct {
	*testing.T
	dir, data string
	build     *provisionerv1.Build
	// without says what is in the environment instead of the build; nil for a build.
	without []string
	config  string
}

// newWorkspace lays out a workspace with these files; Terraform finds the
// provider where a development override says.
func newWorkspace(t *testing.T, mainTF string) *workspace {
	t.Helper()
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("needs terraform")
	}
	w := &workspace{T: t, dir: t.TempDir(), data: t.TempDir()}
	bin := t.TempDir()
	if err := os.Symlink(standin.Path(t), filepath.Join(bin, "terraform-provider-adit")); err != nil {
		t.Fatal(err)
	}
	w.config = filepath.Join(bin, "terraform.tfrc")
	w.write(w.config, fmt.Sprintf("provider_installation {\n dev_overrides {\n \"adit/adit\" = %q\n }\n direct {}\n}\n", bin))
	w.files(mainTF)
	w.build = &provisionerv1.Build{
		BuildId: uuid.NewString(), WorkspaceId: uuid.NewString(), WorkspaceName: "dev",
		OwnerId: uuid.NewString(), OwnerName: "ann", OwnerEmail: "ann@example.com",
		TemplateName: "test", AccessUrl: "https://adit.test", Parameters: map[string]string{},
	}
	t.Cleanup(func() {
		process.Host{Dir: w.data}.Remove(ctx(), uuid.MustParse(w.build.GetWorkspaceId()))
	})
	return w
}

func (w *workspace) write(path, content string) {
	w.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

const header = "terraform {\n  required_providers {\n    adit = { source = \"adit/adit\" }\n  }\n}\n"

func (w *workspace) files(mainTF string) {
	w.Helper()
	if !strings.Contains(mainTF, "required_providers") {
		mainTF = header + mainTF
	}
	w.write(filepath.Join(w.dir, "main.tf"), mainTF)
}

// terraform runs it and returns what it says.
func (w *workspace) terraform(args ...string) (string, error) {
	w.Helper()
	cmd := exec.Command("terraform", args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+w.config, "CHECKPOINT_DISABLE=1", "ADIT_DATA_DIR="+w.data)
	if w.without == nil {
		raw, err := protojson.Marshal(w.build)
		if err != nil {
			w.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "ADIT_BUILD="+string(raw))
	} else {
		cmd.Env = append(cmd.Env, w.without...)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	return said.String(), err
}

func (w *workspace) must(args ...string) string {
	w.Helper()
	said, err := w.terraform(args...)
	if err != nil {
		w.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return said
}

// next makes a build: another number, a secret of its own.
func (w *workspace) next(t provisionerv1.Transition) {
	w.build.Number++
	w.build.Transition = t
	w.build.AgentSecret = bytes.Repeat([]byte{byte(w.build.Number)}, 32)
}

func (w *workspace) apply(t provisionerv1.Transition) {
	w.Helper()
	w.next(t)
	w.must("apply", "-auto-approve", "-no-color")
}

// values are a resource's in the state; nil if it is not there.
func (w *workspace) values(address string) map[string]any {
	w.Helper()
	return find(w, w.must("show", "-json"), func(all map[string]any) any { return all["values"] }, address)
}

// planned are a resource's in a plan.
func (w *workspace) planned(address string) map[string]any {
	w.Helper()
	w.must("plan", "-out=plan", "-no-color")
	return find(w, w.must("show", "-json", "plan"), func(all map[string]any) any { return all["planned_values"] }, address)
}

func find(w *workspace, raw string, part func(map[string]any) any, address string) map[string]any {
	w.Helper()
	// A development override is warned of on another stream, which is ours too.
	raw = raw[strings.Index(raw, "{"):]
	var all map[string]any
	if err := json.NewDecoder(strings.NewReader(raw)).Decode(&all); err != nil {
		w.Fatal(err)
	}
	values, _ := part(all).(map[string]any)
	module, _ := values["root_module"].(map[string]any)
	resources, _ := module["resources"].([]any)
	for _, r := range resources {
		if r := r.(map[string]any); r["address"] == address {
			return r["values"].(map[string]any)
		}
	}
	return nil
}

func (w *workspace) until(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not in 20 s: %s", what)
		}
	}
}

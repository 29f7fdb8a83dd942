package terraform

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
)

func TestMain(m *testing.M) { os.Exit(standin.Run(m)) }

// bench is a workspace's directory and what its builds are run with.
type bench struct {
	*testing.T
	in    *Installation
	dir   string
	build *provisionerv1.Build
	said  []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	in, err := Install(Config{Dir: t.TempDir(), Adit: standin.Path(t), Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, in: in, dir: filepath.Join(t.TempDir(), "files"), build: &provisionerv1.Build{
		WorkspaceId: "5f0c1c5e-7d0a-4a8e-9a1e-0d6b9b1d2c3f", WorkspaceName: "demo", OwnerName: "ann",
		AccessUrl: "https://adit.test", AgentSecret: []byte("agents' secret"), Transition: provisionerv1.Transition_START,
	}}
}

func (b *bench) log(l *provisionerv1.Line) bool {
	b.said = append(b.said, l.GetText())
	return true
}

// files replaces the template.
func (b *bench) files(files map[string]string) {
	b.Helper()
	if err := os.RemoveAll(b.dir); err != nil {
		b.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(b.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// run initializes a run.
func (b *bench) run() *Run {
	b.Helper()
	build, err := protojson.Marshal(b.build)
	if err != nil {
		b.Fatal(err)
	}
	r, err := b.in.Open(RunConfig{
		Dir: b.dir, Mark: b.Name(), Env: map[string]string{"ADIT_BUILD": string(build), "ADIT_DATA_DIR": b.dir},
		Log: b.log,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	if err := r.Init(b.Context(), nil, nil); err != nil {
		b.Fatalf("%v\n%v", err, b.said)
	}
	return r
}

func (b *bench) plan(r *Run, destroy bool) *Plan {
	b.Helper()
	plan, err := r.Plan(b.Context(), destroy)
	if err != nil {
		b.Fatalf("%v\n%v", err, b.said)
	}
	return plan
}

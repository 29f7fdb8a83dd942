package tfprovider_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/standin"
	"github.com/aditmesh/adit/provisioner/templates"
	"github.com/aditmesh/adit/provisioner/terraform"
	"github.com/aditmesh/adit/provisioner/tfprovider"
)

// What the provisioner does with a build: the provider comes from the mirror
// that it lays out, and the plan says what kind each resource is of.
func TestProvisionerReadsThePlan(t *testing.T) {
	if terraform.ProviderCommand != tfprovider.Command {
		t.Fatalf("the mirror starts %q, and the provider is %q", terraform.ProviderCommand, tfprovider.Command)
	}
	dir := t.TempDir()
	files := filepath.Join(dir, "job", "template")
	if err := templates.Write("process", files); err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, "") // for its build
	w.next(start)
	build, err := protojson.Marshal(w.build)
	if err != nil {
		t.Fatal(err)
	}
	in, err := terraform.Install(terraform.Config{Dir: filepath.Join(dir, "terraform"), Adit: standin.Path(t), Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	run, err := in.Open(terraform.RunConfig{
		Dir: files, Mark: uuid.NewString(),
		Env: map[string]string{"ADIT_BUILD": string(build), "ADIT_DATA_DIR": dir},
		Log: func(l *provisionerv1.Line) bool { said = append(said, l.GetText()); return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := run.Init(ctx(), nil, nil); err != nil {
		t.Fatalf("%v\n%v", err, said)
	}
	plan, err := run.Plan(ctx(), false)
	if err != nil {
		t.Fatalf("%v\n%v", err, said)
	}
	resources, agents := terraform.Planned(plan)
	if len(agents) != 1 || agents[0].GetName() != "main" || len(agents[0].GetScripts()) != 1 || len(agents[0].GetMetadata()) != 1 {
		t.Errorf("agents %v, want main with its script and metadata", agents)
	}
	kinds := make(map[string]*provisionerv1.Resource)
	for _, r := range resources {
		kinds[r.GetType()] = r
	}
	if r := kinds["adit_process"]; !r.GetEphemeral() || !slices.Equal(r.GetAgents(), []string{"main"}) {
		t.Errorf("process: %v, want ephemeral and computational", r)
	}
	if r := kinds["adit_home"]; r == nil || r.GetEphemeral() || len(r.GetAgents()) > 0 {
		t.Errorf("home: %v, want persistent and peripheral", r)
	}
	id := agenttoken.ID(uuid.MustParse(w.build.GetWorkspaceId()), "main").String()
	if ids := terraform.Values(plan.After, "adit_process", "agent_id"); !slices.Equal(ids, []string{id}) {
		t.Errorf("agent_id is %v when planned, want %s", ids, id)
	}
}

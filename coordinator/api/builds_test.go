package api

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// start makes a workspace from template "process" and returns the job of its
// first build, which waits to be planned.
func start(t *testing.T, c *sdk.Client, p *provisioner, name string, params map[string]string) (sdk.Workspace, *provisionerv1.Job) {
	t.Helper()
	w, err := c.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: name, Template: "process", Parameters: params})
	if err != nil {
		t.Fatal(err)
	}
	return w.Workspace, p.job()
}

func TestWorkspaceFromATemplate(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{Parameters: []*provisionerv1.Parameter{{Name: "cpu", Type: "number", Default: "1", Mutable: true}}})
	w, job := start(t, alice, p, "dev", map[string]string{"cpu": "2"})
	if w.Template != "process" || w.TemplateVersion != 1 || w.External || w.LatestBuild == nil || w.LatestBuild.Number != 1 || w.LatestBuild.Parameters["cpu"] != "2" {
		t.Errorf("made %+v", w)
	}
	if _, err := alice.CreateBuild(t.Context(), "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStop}); !errors.Is(err, sdk.ErrConflict) ||
		err.Error() != "build 1, which is to start the workspace, is under way; wait for it, or cancel it" {
		t.Errorf("a stop meanwhile: %v", err)
	}
	p.planned(job, &provisionerv1.Agent{Name: "main", Directory: "~/code", Env: map[string]string{"A": "b"}, Scripts: []*provisionerv1.Script{
		{Name: "setup", Script: "make", RunOn: "start", BlocksLogin: true, TimeoutSeconds: 9, RunAfter: []string{"clone"}},
	}})
	p.finish(job, &provisionerv1.Result{})
	w, err := alice.Workspace(t.Context(), "me", "dev")
	if err != nil || w.Phase != "running" || len(w.Agents) != 1 || !w.Agents[0].LoginWaits || w.Agents[0].Scripts != "none" {
		t.Fatalf("%+v, %v", w, err)
	}
	resources := w.LatestBuild.Resources
	if len(resources) != 2 || !resources[0].Ephemeral || resources[0].Agents[0] != "main" || len(resources[1].Agents) != 0 || resources[1].Metadata[1].Value != "" {
		t.Errorf("resources: %+v", resources)
	}

	token := agenttoken.Token(uuid.MustParse(w.ID), job.GetBuild().GetAgentSecret(), "main")
	agent := d.client(token)
	m, err := agent.Manifest(t.Context())
	if err != nil || m.Agent != "main" || m.Workspace != "dev" || m.Owner != "alice" || m.Directory != "~/code" || m.Env["A"] != "b" ||
		!reflect.DeepEqual(m.Scripts, []sdk.Script{{Name: "setup", Script: "make", RunOn: "start", BlocksLogin: true, TimeoutSeconds: 9, RunAfter: []string{"clone"}}}) {
		t.Errorf("manifest: %+v, %v", m, err)
	}
	// Log-ins wait for the script that blocks them, and for no other.
	setup, slow := sdk.ScriptStatus{Name: "setup\x1b", RunOn: "start", State: sdk.ScriptsRunning, Blocking: true, Runs: 1}, sdk.ScriptStatus{Name: "slow", RunOn: "start", State: sdk.ScriptsRunning}
	for _, state := range []string{sdk.ScriptsRunning, sdk.ScriptsFailed} {
		setup.State = state
		if err := agent.ReportScripts(t.Context(), sdk.ScriptsReport{State: sdk.ScriptsRunning, Scripts: []sdk.ScriptStatus{setup, slow}}); err != nil {
			t.Fatal(err)
		}
		w, err := alice.Workspace(t.Context(), "me", "dev")
		if err != nil || w.Agents[0].LoginWaits != (state == sdk.ScriptsRunning) || len(w.Agents[0].ScriptRuns) != 2 || w.Agents[0].ScriptRuns[0].Name != "setup" {
			t.Errorf("setup is %s: %+v, %v", state, w.Agents, err)
		}
	}
	if list, err := alice.Workspaces(t.Context(), "me"); err != nil || len(list[0].Agents[0].ScriptRuns) != 0 {
		t.Errorf("a list has %+v, %v", list, err)
	}
	if err := agent.ReportScripts(t.Context(), sdk.ScriptsReport{State: sdk.ScriptsFailed, Scripts: []sdk.ScriptStatus{setup, slow}}); err != nil {
		t.Error(err)
	}
	if w, err := alice.Workspace(t.Context(), "me", "dev"); err != nil || !slices.ContainsFunc(w.Conditions, func(c sdk.Condition) bool {
		return c.Type == "scripts-ready" && c.Status == "false" && strings.Contains(c.Message, "failed (setup)")
	}) {
		t.Errorf("%+v, %v", w.Conditions, err)
	}
	if err := agent.ReportScripts(t.Context(), sdk.ScriptsReport{State: sdk.ScriptsSucceeded}); err != nil {
		t.Error(err)
	}
	if w, err := alice.Workspace(t.Context(), "me", "dev"); err != nil || w.Agents[0].Scripts != "succeeded" || !slices.Contains(w.Conditions, sdk.Condition{Type: "scripts-ready", Status: "true"}) {
		t.Errorf("%+v, %v", w, err)
	}

	push(t, root, p, &provisionerv1.Template{})
	if w, err := alice.Workspace(t.Context(), "me", "dev"); err != nil || !w.Outdated {
		t.Errorf("the template has another version: %+v, %v", w, err)
	}
	if err := root.DeleteTemplate(t.Context(), "process"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("a template in use: %v, want ErrConflict", err)
	}
	if _, err := alice.RenameWorkspace(t.Context(), "me", "dev", "box"); err != nil {
		t.Error(err)
	}
	if err := alice.DeleteWorkspace(t.Context(), "me", "box"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("deleted past its template: %v, want ErrConflict", err)
	}
	b, err := alice.CreateBuild(t.Context(), "me", "box", sdk.NewBuild{Transition: sdk.TransitionDelete})
	if err != nil || b.Number != 2 || b.Transition != "delete" {
		t.Fatalf("%+v, %v", b, err)
	}
	job = p.job()
	p.planned(job)
	p.finish(job, &provisionerv1.Result{})
	if _, err := alice.Workspace(t.Context(), "me", "box"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("deleted: %v, want ErrNotFound", err)
	}
	if _, err := d.auth.Authenticate(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("its agent: %v, want ErrUnauthenticated", err)
	}
}

func TestBuildsOfOthersDoNotExist(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	start(t, alice, p, "dev", nil)
	ctx := t.Context()
	_, list := root.Builds(ctx, "alice", "dev")
	_, one := root.Build(ctx, "alice", "dev", 1)
	_, made := root.CreateBuild(ctx, "alice", "dev", sdk.NewBuild{Transition: sdk.TransitionStop})
	_, logs := root.BuildLog(ctx, "alice", "dev", 1, 0, true)
	_, agent := root.AgentLog(ctx, "alice", "dev", "main", 0, true)
	_, renamed := root.RenameWorkspace(ctx, "alice", "dev", "x")
	for what, err := range map[string]error{
		"list": list, "show": one, "make": made, "logs": logs, "agent's logs": agent, "rename": renamed,
		"cancel": root.CancelBuild(ctx, "alice", "dev", 1, true),
	} {
		if !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
}

func TestCancel(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, root, p, "dev", nil)
	for _, force := range []bool{false, true} {
		if err := root.CancelBuild(t.Context(), "me", "dev", 1, force); err != nil {
			t.Fatal(err)
		}
		if c := <-p.cancel; c.GetForce() && !force {
			t.Errorf("canceled %+v, want force %t", c, force)
		}
	}
	if b, err := root.Build(t.Context(), "me", "dev", 1); err != nil || !b.Job.Canceling || b.Job.Done() {
		t.Errorf("%+v, %v", b, err)
	}
	p.finish(job, &provisionerv1.Result{Status: provisionerv1.Result_CANCELED, Error: "interrupted"})
	if b, err := root.Build(t.Context(), "me", "dev", 1); err != nil || b.Job.Status != "canceled" || b.Job.Canceling {
		t.Errorf("%+v, %v", b, err)
	}
	if err := root.CancelBuild(t.Context(), "me", "dev", 1, false); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("canceled again: %v, want ErrConflict", err)
	}
}

func TestStatesAreTheOwnersToMend(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, alice, p, "dev", nil)
	p.planned(job)
	p.finish(job, &provisionerv1.Result{})
	state := func(lineage, serial string) []byte {
		return []byte(`{"version":4,"serial":` + serial + `,"lineage":"` + lineage + `"}`)
	}
	if _, err := root.PullState(t.Context(), "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("no state yet: %v, want ErrNotFound", err)
	}
	if err := root.PushState(t.Context(), "alice", "dev", state("a", "3"), false); err != nil {
		t.Fatal(err)
	}
	if got, err := root.PullState(t.Context(), "alice", "dev"); err != nil || string(got) != string(state("a", "3")) {
		t.Errorf("pulled %s, %v", got, err)
	}
	if err := root.PushState(t.Context(), "alice", "dev", state("b", "1"), false); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("of another lineage: %v, want ErrConflict", err)
	}
	if err := root.PushState(t.Context(), "alice", "dev", state("b", "1"), true); err != nil {
		t.Errorf("by force: %v", err)
	}
	if err := root.PushState(t.Context(), "alice", "dev", []byte("{}"), true); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("no state: %v, want 422", err)
	}
	if err := alice.PushState(t.Context(), "me", "dev", state("b", "2"), false); status(err) != http.StatusForbidden {
		t.Errorf("by a member: %v, want 403", err)
	}
	if _, err := alice.PullState(t.Context(), "me", "dev"); status(err) != http.StatusForbidden {
		t.Errorf("by a member: %v, want 403", err)
	}
}

func TestProvisionersAndTheirKeys(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	d.provision(t)
	made, err := root.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "lab", Tags: map[string]string{"site": "lab"}})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := d.auth.Authenticate(t.Context(), made.Text); err != nil || who.Kind != auth.Provisioner || who.Tags["site"] != "lab" {
		t.Errorf("the key is %+v's, %v", who, err)
	}
	if _, err := root.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "lab"}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("the name again: %v, want ErrConflict", err)
	}
	if keys, err := root.ProvisionerKeys(t.Context()); err != nil || len(keys) != 1 || keys[0].Name != "lab" {
		t.Errorf("%+v, %v", keys, err)
	}
	if list, err := root.Provisioners(t.Context()); err != nil || len(list) != 1 || list[0].Name != "lab" || !list[0].Connected || list[0].Slots != 4 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := root.DeleteProvisionerKey(t.Context(), "lab"); err != nil {
		t.Error(err)
	}
	if _, err := d.auth.Authenticate(t.Context(), made.Text); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the revoked key: %v, want ErrUnauthenticated", err)
	}
	if _, err := alice.Provisioners(t.Context()); status(err) != http.StatusForbidden {
		t.Errorf("a member: %v, want 403", err)
	}
	if _, err := alice.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "x"}); status(err) != http.StatusForbidden {
		t.Errorf("a member: %v, want 403", err)
	}
}

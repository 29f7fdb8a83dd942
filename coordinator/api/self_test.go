package api

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// madeWith makes alice's workspace dev from a template with an agent, and returns
// alice and the agent's id.
func (d *deployment) madeWith(t *testing.T, agent *provisionerv1.Agent) (*sdk.Client, uuid.UUID) {
	t.Helper()
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	if _, err := root.PushTemplate(t.Context(), "dev", sdk.PushVersion{Archive: packed(t, "x"), Tags: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})
	w, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	j := p.job()
	p.planned(j, agent)
	p.finish(j, &provisionerv1.Result{})
	if w.Workspace, err = alice.Workspace(t.Context(), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	return alice, uuid.MustParse(w.Agents[0].ID)
}

func TestAppsAreAConditionOfTheirWorkspace(t *testing.T) {
	d := deploy(t)
	alice, agent := d.madeWith(t, &provisionerv1.Agent{Name: "main", Apps: []*provisionerv1.App{
		{Slug: "web", Url: "http://localhost:8080", Share: "owner", HealthcheckUrl: "http://localhost:8080/healthz", HealthcheckThreshold: 2},
		{Slug: "docs", Url: "http://localhost:8081", Share: "public"},
	}})
	check := func(when string, want sdk.Condition, states ...string) {
		t.Helper()
		list, err := alice.WorkspaceApps(t.Context(), "me", "dev")
		var got []string
		for _, a := range list {
			got = append(got, a.Slug+" "+a.State)
		}
		if err != nil || !slices.Equal(got, states) {
			t.Errorf("%s: %v, %v, want %v", when, got, err, states)
		}
		w, err := alice.Workspace(t.Context(), "me", "dev")
		if err != nil || !slices.Contains(w.Conditions, want) {
			t.Errorf("%s: conditions %+v, %v, want %+v", when, w.Conditions, err, want)
		}
	}
	is := func(state store.AgentState) {
		t.Helper()
		if err := d.store.RecordLiveness(t.Context(), []store.AgentLiveness{{AgentID: agent, State: state, At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	tell := func(state, why string) {
		t.Helper()
		err := d.store.RecordAgentReports(t.Context(), []store.AgentReport{{AgentID: agent, Apps: []store.AgentApp{{Slug: "web", State: state, Why: why}, {Slug: "docs", State: sdk.AppUnchecked}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	is(store.AgentConnected)
	check("at first", sdk.Condition{Type: "apps-healthy", Status: "false", Message: "app web is starting"}, "web starting", "docs unchecked")
	tell(sdk.AppUnhealthy, "answers 503")
	check("ill", sdk.Condition{Type: "apps-healthy", Status: "false", Message: "app web is unhealthy: answers 503"}, "web unhealthy", "docs unchecked")
	tell(sdk.AppHealthy, "")
	check("well", sdk.Condition{Type: "apps-healthy", Status: "true"}, "web healthy", "docs unchecked")
	is(store.AgentTimeout)
	check("away", sdk.Condition{Type: "apps-healthy", Status: "false", Message: "app docs is unhealthy: agent main is timeout"}, "web unhealthy", "docs unhealthy")
}

func TestAnAgentSeesAndStopsItsOwnWorkspaceAlone(t *testing.T) {
	in := inhabit(t)
	box := in.client(in.agent) // of an external workspace
	w, err := box.OwnWorkspace(t.Context())
	if err != nil || w.Name != "box" || w.Owner != "alice" {
		t.Errorf("own workspace: %s/%s, %v", w.Owner, w.Name, err)
	}
	if _, err := box.StopOwnWorkspace(t.Context()); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("to stop what nobody started: %v, want 422", err)
	}
	if _, err := box.ExtendOwnWorkspace(t.Context(), time.Hour); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("to extend it: %v, want 422", err)
	}
	// Nothing that people do may an agent do by its token.
	if _, err := box.Workspace(t.Context(), "alice", "box"); status(err) != http.StatusUnauthorized {
		t.Errorf("an agent reads as people do: %v, want 401", err)
	}
	if _, err := in.alice.OwnWorkspace(t.Context()); status(err) != http.StatusUnauthorized {
		t.Errorf("a person asks as an agent does: %v, want 401", err)
	}
}

package workspaces

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// pushed pushes a version of a template, has p import it, and returns the template.
func (l *lab) pushed(p *provisioner, found *provisionerv1.Template) uuid.UUID {
	l.t.Helper()
	v, err := l.PushTemplate(l.t.Context(), Push{Template: "process", Archive: packed(l.t, "main.tf", "# nothing"), CreatorID: l.user.ID, Activate: true})
	must(l.t, err)
	j := p.job()
	for j.GetImport() == nil { // a build of the pool came first
		must(l.t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
		j = p.job()
	}
	found.LockFile = []byte("locked")
	_, err = p.client.Finish(l.t.Context(), &provisionerv1.Result{Job: j.GetRef(), Template: found})
	must(l.t, err)
	return v.TemplateID
}

// asks is a template with a parameter that may change and one that may not.
func asks() *provisionerv1.Template {
	return &provisionerv1.Template{Impersonal: true, Parameters: []*provisionerv1.Parameter{
		{Name: "cpu", Type: "number", Default: "2", Mutable: true}, {Name: "disk", Type: "number", Default: "10"},
	}}
}

// build does a job that starts a workspace, up to its agent's being ready.
func (l *lab) build(p *provisioner, j *provisionerv1.Job) uuid.UUID {
	l.t.Helper()
	if j.GetBuild().GetTransition() != provisionerv1.Transition_START {
		l.t.Fatalf("%v came, want a start", j)
	}
	must(l.t, p.planned(j.GetRef(), "main"))
	must(l.t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	id, err := uuid.Parse(j.GetBuild().GetWorkspaceId())
	must(l.t, err)
	l.ready(id)
	return id
}

// ready has the agents of a workspace connect and do their scripts.
func (l *lab) ready(id uuid.UUID) {
	l.t.Helper()
	w, err := l.st.WorkspaceByID(l.t.Context(), id)
	must(l.t, err)
	for _, a := range w.Agents {
		must(l.t, l.st.RecordLiveness(l.t.Context(), []store.AgentLiveness{{AgentID: a.ID, State: store.AgentConnected, At: time.Now()}}))
		must(l.t, l.SetScriptsState(l.t.Context(), a.ID, store.ScriptsSucceeded, []byte("[]")))
	}
}

// wants asks for a workspace.
func (l *lab) wants(template uuid.UUID, name string, params map[string]string) (store.Workspace, store.Build, error) {
	return l.CreateWorkspace(l.t.Context(), Create{OwnerID: l.user.ID, Name: name, TemplateID: template, Parameters: params, InitiatorID: l.user.ID})
}

func TestAPreparedWorkspaceIsClaimed(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.pushed(p, asks())
	must(t, l.st.SetTemplateLimits(t.Context(), tmpl, store.Limits{Cost: 1}, nil))
	must(t, l.st.SetQuota(t.Context(), store.QuotaOf{Name: "alice"}, 3, nil))
	must(t, l.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1}, nil))
	j := p.job()
	if b := j.GetBuild(); b.GetOwnerName() != "prepared" || b.GetOwnerEmail() != "" || b.GetOwnerId() != store.Nobody.String() {
		t.Errorf("it is prepared for %s, %s", b.GetOwnerName(), b.GetOwnerEmail())
	}
	first := l.build(p, j)
	if u, err := l.st.UsageOf(t.Context(), l.user.ID, store.DefaultOrganization); err != nil || u.Used != 0 {
		t.Errorf("before it is claimed it costs %+v, %v", u, err)
	}
	if list, err := l.st.Workspaces(t.Context(), store.WorkspaceQuery{OwnerID: l.user.ID, Max: 10}); err != nil || len(list) != 0 {
		t.Errorf("before it is claimed she has %+v, %v", list, err)
	}

	w, b, err := l.wants(tmpl, "dev", nil)
	must(t, err)
	if w.ID != first || w.OwnerID != l.user.ID || w.Name != "dev" || w.Phase != store.PhaseRunning || b.Reason != reasonClaimed || b.Job.Status != store.JobSucceeded || b.FinishedAt == nil {
		t.Fatalf("claimed is %+v, with %+v", w, b)
	}
	if a := w.Agents[0]; a.State != store.AgentConnected || a.ScriptsState != store.ScriptsSucceeded {
		t.Errorf("its agent is %s, its scripts %s", a.State, a.ScriptsState)
	}
	if u, err := l.st.UsageOf(t.Context(), l.user.ID, store.DefaultOrganization); err != nil || u.Used != 1 {
		t.Errorf("after it is claimed it costs %+v, %v", u, err)
	}

	// Another takes its place. It is claimed with a parameter that may change, which a
	// build applies that its agent outlives.
	j = p.job()
	second := l.build(p, j)
	w, _, err = l.wants(tmpl, "large", map[string]string{"cpu": "8"})
	must(t, err)
	if w.ID != second || w.Phase != store.PhasePending {
		t.Fatalf("claimed is %+v, want %s", w, second)
	}
	var applied, third *provisionerv1.Job
	for range 2 { // in any order: the other fills the pool
		if j := p.job(); j.GetBuild().GetWorkspaceId() == second.String() {
			applied = j
		} else {
			third = j
		}
	}
	if b := applied.GetBuild(); b.GetParameters()["cpu"] != "8" || b.GetOwnerName() != "alice" || b.GetWorkspaceName() != "large" || !bytes.Equal(b.GetAgentSecret(), j.GetBuild().GetAgentSecret()) {
		t.Errorf("applied is %+v", b)
	}
	must(t, p.planned(applied.GetRef(), "main"))
	must(t, p.finish(applied.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(second, store.PhaseRunning)
	if w, err := l.st.WorkspaceByID(t.Context(), second); err != nil || len(w.Agents) != 1 || w.Agents[0].ScriptsState != store.ScriptsSucceeded || w.Agents[0].State != store.AgentConnected {
		t.Errorf("after that it is %+v, %v", w, err)
	}

	// Nothing is taken that cannot be what is wanted, nor under a name that is taken.
	l.build(p, third)
	if _, _, err := l.wants(tmpl, "dev", nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a name that she has: %v", err)
	}
	w, b, err = l.wants(tmpl, "disk", map[string]string{"disk": "20"})
	must(t, err)
	if b.Reason == reasonClaimed || b.Number != 1 {
		t.Errorf("a parameter that cannot change is changed: %+v", b)
	}
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	var over *store.OverQuota
	if _, _, err := l.wants(tmpl, "more", nil); !errors.As(err, &over) || over.Used != 3 {
		t.Errorf("beyond her quota: %v", err)
	}
	st, err := l.PoolOf(t.Context(), tmpl)
	if err != nil || st.Ready != 1 || st.Failures != 0 {
		t.Errorf("in the end the pool is %+v, %v", st, err)
	}
}

// However many want it at once, one gets it, and each gets a workspace.
func TestOfManyClaimsOneWins(t *testing.T) {
	l := newLab(t, Config{})
	p := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "host", Slots: 20})
	tmpl := l.pushed(p, asks())
	must(t, l.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1}, nil))
	l.build(p, p.job())
	var mu sync.Mutex
	claimed := 0
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, b, err := l.wants(tmpl, string(rune('a'+i)), nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if b.Reason == reasonClaimed {
				claimed++
			}
		})
	}
	all.Wait()
	if claimed != 1 {
		t.Errorf("%d were claimed, and one was there", claimed)
	}
}

// A parameter without a value, a template that has no version, and a number that
// makes no sense are told to whoever sets it.
func TestPoolsThatCannotBe(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.pushed(p, &provisionerv1.Template{Parameters: []*provisionerv1.Parameter{{Name: "zone", Required: true}}})
	for name, pool := range map[string]store.Pool{
		"no value":   {Size: 1},
		"too many":   {Size: maxPool + 1},
		"too few":    {Size: -1},
		"no window":  {Size: 1, Schedule: "daily 08:30", Parameters: map[string]string{"zone": "eu"}},
		"no such":    {Size: 1, Parameters: map[string]string{"zone": "eu", "size": "1"}},
		"wrong zone": {Size: 1, Schedule: "daily 08:30-09:30 Moon", Parameters: map[string]string{"zone": "eu"}},
	} {
		pool.TemplateID = tmpl
		var bad *BadInput
		if err := l.SetPool(t.Context(), pool, nil); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, l.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1, Parameters: map[string]string{"zone": "eu"}}, nil))
	if got := p.job().GetBuild().GetParameters()["zone"]; got != "eu" {
		t.Errorf("zone is %q", got)
	}
}

// A build that fails is told with why, and tried again later; what failed is deleted.
func TestAPoolThatFailsSaysWhy(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.pushed(p, asks())
	must(t, l.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1}, nil))
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_FAILED, "no room in the cloud"))
	j := p.job()
	if j.GetBuild().GetTransition() != provisionerv1.Transition_DELETE {
		t.Errorf("after a failure %v came", j)
	}
	st, err := l.PoolOf(t.Context(), tmpl)
	if err != nil || st.Failures != 1 || st.Problem != "its build failed: no room in the cloud" || st.RetryAt.IsZero() {
		t.Errorf("the pool is %+v, %v", st, err)
	}
	l.eventually("the metrics have it", func() bool { return l.PoolCounts().Failing == 1 })
	if c := l.PoolCounts(); c.Wanted != 1 || c.Ready != 0 || c.Well != 0 || c.Failures != 1 || c.BackOff != failPauseMin {
		t.Errorf("the metrics have %+v", c)
	}
	failing, err := l.st.FailingPools(t.Context())
	if err != nil || len(failing) != 1 || failing[0].Template != "process" || failing[0].Organization != "default" {
		t.Errorf("failing are %+v, %v", failing, err)
	}
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	// Whoever sets it anew has mended it.
	must(t, l.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1}, nil))
	l.build(p, p.job())
	l.eventually("the metrics have it", func() bool {
		poke(l.pools)
		return l.PoolCounts() == PoolCounts{Wanted: 1, Ready: 1, Well: 1}
	})
}

// The coordinator is killed at each transition of a prepared workspace, and started
// anew. None is lost and none is one too many.
func TestCoordinatorIsKilledBetweenAnyTwoStepsOfAPool(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.pushed(p, asks())
	again := func(jobs ...*provisionerv1.JobRef) {
		p.close()
		l.restart()
		p = l.join("host", "built-in", jobs...)
	}
	// look is what the coordinator does once it is there.
	look := func() {
		t.Helper()
		pools, _, err := l.st.Pools(t.Context())
		must(t, err)
		for _, one := range pools {
			must(t, l.prepareOne(context.WithoutCancel(t.Context()), one, new(PoolCounts)))
		}
	}
	members := func(want int) []store.Prepared {
		t.Helper()
		_, list, err := l.st.Pool(t.Context(), tmpl)
		must(t, err)
		if len(list) != want {
			t.Fatalf("there are %d prepared workspaces, want %d: %+v", len(list), want, list)
		}
		return list
	}
	must(t, l.st.SetPool(t.Context(), store.Pool{TemplateID: tmpl, Size: 1}, nil))
	again() // wanted, and nobody was told
	look()
	look()
	members(1)
	again() // queued
	look()
	j := p.job()
	again(j.GetRef()) // handed out
	look()
	must(t, p.planned(j.GetRef(), "main"))
	again(j.GetRef()) // begun
	look()
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	again() // built
	look()
	id := members(1)[0].ID
	l.ready(id)
	again() // ready
	look()
	w, _, err := l.wants(tmpl, "dev", map[string]string{"cpu": "4"})
	must(t, err)
	if w.ID != id {
		t.Fatalf("claimed is %s, want %s", w.ID, id)
	}
	again() // claimed, its build is queued
	look()
	members(1)
	var applied, next *provisionerv1.Job
	for range 2 {
		if j := p.job(); j.GetBuild().GetWorkspaceId() == id.String() {
			applied = j
		} else {
			next = j
		}
	}
	again(applied.GetRef(), next.GetRef())
	must(t, p.planned(applied.GetRef(), "main"))
	must(t, p.finish(applied.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(id, store.PhaseRunning)
	l.build(p, next)

	// Another version: what is there is deleted, and another made.
	l.pushed(p, asks())
	look()
	again() // the delete is queued, and so is the start
	look()
	members(2)
	for range 2 {
		switch j := p.job(); j.GetBuild().GetTransition() {
		case provisionerv1.Transition_START:
			l.build(p, j)
		default:
			again(j.GetRef())
			must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
		}
	}
	again()
	look()
	if m := members(1)[0]; !isReady(m) {
		t.Errorf("in the end it is %+v", m)
	}
	if st, err := l.PoolOf(t.Context(), tmpl); err != nil || st.Ready != 1 || st.Failures != 0 {
		t.Errorf("in the end the pool is %+v, %v", st, err)
	}
}

package workspaces

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// stopped is a workspace that was started and stopped.
func (l *lab) stopped(p *provisioner, name string) store.Workspace {
	l.t.Helper()
	w := l.workspace(l.template(p), name)
	must(l.t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)
	_, err := l.move(w.ID, store.Stop)
	must(l.t, err)
	must(l.t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseStopped)
	return w
}

// one returns what a workspace's upkeep is decided by.
func (l *lab) one(w uuid.UUID) store.Upkeep {
	l.t.Helper()
	of, err := l.st.UpkeepOf(l.t.Context(), []uuid.UUID{w})
	must(l.t, err)
	return of[w]
}

func pointer[T any](v T) *T { return &v }

// However many coordinators see that something is due, one does it.
func TestOfSeveralCoordinatorsOneStartsAndOneStops(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("p", "built-in")
	w := l.stopped(p, "dev")
	must(t, l.SetSchedule(t.Context(), w, store.Schedule{Autostart: pointer("daily 08:30"), TTL: pointer(2 * time.Hour)}, nil))

	all := func(now time.Time) {
		list, _, err := l.st.Upkeep(t.Context())
		must(t, err)
		var wg sync.WaitGroup
		for range 4 {
			other := New(Config{Store: l.st, Keys: l.cfg.Keys})
			wg.Go(func() { other.keepAll(t.Context(), list, now, now.Add(-time.Hour)) })
		}
		wg.Wait()
	}
	s, err := ParseSchedule("daily 08:30")
	must(t, err)
	all(time.Now())
	l.phase(w.ID, store.PhaseStopped)
	morning := s.After(time.Now())
	all(morning)
	ref := p.job().GetRef()
	all(morning.Add(time.Minute))
	must(t, p.finish(ref, provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)
	if b, err := l.LastBuild(t.Context(), w.ID); err != nil || b.Number != 3 || b.Reason != reasonAutostart {
		t.Fatalf("the last build is %+v, %v; want the third, an autostart", b, err)
	}

	started := *l.one(w.ID).FinishedAt
	all(started.Add(time.Hour))
	l.phase(w.ID, store.PhaseRunning)
	must(t, l.Extend(t.Context(), w.ID, 3*time.Hour, nil))
	all(started.Add(150 * time.Minute))
	l.phase(w.ID, store.PhaseRunning)
	all(started.Add(4 * time.Hour))
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseStopped)
	if b, err := l.LastBuild(t.Context(), w.ID); err != nil || b.Number != 4 || b.Reason != reasonAutostop {
		t.Errorf("the last build is %+v, %v; want the fourth, an autostop", b, err)
	}
}

func TestWhatATemplateDoesNotAllowIsRefused(t *testing.T) {
	l := newLab(t, Config{})
	w := l.stopped(l.join("p", "built-in"), "dev")
	must(t, l.st.SetTemplateLimits(t.Context(), w.TemplateID, store.Limits{MaxTTL: 8 * time.Hour, NoAutostart: true}, nil))
	for name, c := range map[string]struct {
		start *string
		ttl   *time.Duration
	}{
		"autostart":        {start: pointer("daily 08:30")},
		"for ever":         {ttl: pointer(time.Duration(0))},
		"longer":           {ttl: pointer(9 * time.Hour)},
		"for a moment":     {ttl: pointer(time.Minute)},
		"no such schedule": {start: pointer("whenever")},
	} {
		var bad *BadInput
		if err := l.SetSchedule(t.Context(), w, store.Schedule{Autostart: c.start, TTL: c.ttl}, nil); !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	must(t, l.SetSchedule(t.Context(), w, store.Schedule{Autostart: pointer(""), TTL: pointer(8 * time.Hour)}, nil))
	if u := l.one(w.ID); u.TTL == nil || *u.TTL != 8*time.Hour {
		t.Errorf("it runs for %v, want 8 h", u.TTL)
	}
	must(t, l.SetSchedule(t.Context(), w, store.Schedule{TTL: pointer(time.Duration(-1))}, nil))
	if u := l.one(w.ID); u.TTL != nil {
		t.Errorf("it runs for %v, want what the template says", *u.TTL)
	}
	var bad *BadInput
	if err := l.Extend(t.Context(), w.ID, time.Hour, nil); !errors.As(err, &bad) {
		t.Errorf("a stopped one is extended: %v, want a refusal", err)
	}
}

// Agents report what people do. That one of two people goes, or one of two agents
// is idle, stops nothing while the other is used.
func TestWhatAgentsReportPutsTheStopOff(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("p", "built-in")
	template := l.template(p)
	must(t, l.st.SetTemplateLimits(t.Context(), template, store.Limits{DefaultTTL: time.Hour, ActivityBump: time.Hour}, nil))
	w := l.workspace(template, "dev")
	ref := p.job().GetRef()
	must(t, p.planned(ref, "one", "two"))
	must(t, p.finish(ref, provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)
	w, err := l.st.WorkspaceByID(t.Context(), w.ID)
	must(t, err)
	report := func(active ...time.Duration) {
		var stats []store.Stats
		for i, a := range w.Agents {
			stats = append(stats, store.Stats{AgentID: a.ID, Length: time.Minute, Active: active[i], SSH: 1})
		}
		must(t, l.st.RecordStats(t.Context(), stats))
	}
	stopsAt := func() time.Time {
		at, _ := deadline(l.one(w.ID))
		return at
	}
	started := *l.one(w.ID).FinishedAt
	report(0, 0) // open sessions in which nobody types
	if got := stopsAt(); !got.Equal(started.Add(time.Hour)) {
		t.Errorf("it stops at %s, want an hour after %s", got, started)
	}
	report(time.Minute, time.Minute)
	first := stopsAt()
	report(0, time.Second)
	second := stopsAt()
	if !first.After(started.Add(time.Hour)) || !second.After(first) {
		t.Errorf("used by two it stops at %s, by one at %s; want each later than %s", first, second, started.Add(time.Hour))
	}
	report(0, 0)
	if got := stopsAt(); !got.Equal(second) {
		t.Errorf("used by nobody it stops at %s, want %s still", got, second)
	}
	list, now, err := l.st.Upkeep(t.Context())
	must(t, err)
	l.keepAll(t.Context(), list, second.Add(-time.Second), now.Add(-time.Hour))
	l.phase(w.ID, store.PhaseRunning)
	l.keepAll(t.Context(), list, second, now.Add(-time.Hour))
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseStopped)
}

// Dormancy ends with a start, and with waking.
func TestDormancyOnARealDatabase(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("p", "built-in")
	w := l.stopped(p, "dev")
	must(t, l.st.SetTemplateLimits(t.Context(), w.TemplateID, store.Limits{DormantAfter: 24 * time.Hour, DeleteAfter: 24 * time.Hour}, nil))
	pass := func(d time.Duration) {
		list, now, err := l.st.Upkeep(t.Context())
		must(t, err)
		l.keepAll(t.Context(), list, now.Add(d), now)
	}
	pass(23 * time.Hour)
	if u := l.one(w.ID); u.DormantAt != nil {
		t.Fatalf("dormant after 23 hours: %+v", u)
	}
	pass(25 * time.Hour)
	if u := l.one(w.ID); u.DormantAt == nil {
		t.Fatalf("not dormant after 25 hours: %+v", u)
	}
	must(t, l.st.WakeWorkspace(t.Context(), w.ID, nil))
	pass(50 * time.Hour)
	if u := l.one(w.ID); u.DormantAt == nil {
		t.Fatalf("woken, and not dormant after 50 hours: %+v", u)
	}
	_, err := l.move(w.ID, store.Start)
	must(t, err)
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)
	if u := l.one(w.ID); u.DormantAt != nil {
		t.Fatalf("started, and dormant: %+v", u)
	}
	pass(30 * time.Hour) // marked
	pass(30 * time.Hour) // stopped
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseStopped)
	pass(60 * time.Hour)
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	if _, err := l.st.WorkspaceByID(t.Context(), w.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgotten, and still there: %v", err)
	}
}

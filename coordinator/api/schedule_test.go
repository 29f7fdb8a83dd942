package api

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestExternalWorkspacesHaveNoSchedule(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice := d.add(t, "alice", store.RoleMember)
	if w := makeWorkspace(t, alice, "dev"); w.Schedule != nil || w.Warnings != nil {
		t.Errorf("schedule %+v, warnings %v", w.Schedule, w.Warnings)
	}
	start := "daily 08:30"
	if _, err := alice.SetSchedule(ctx, "me", "dev", sdk.SetSchedule{Autostart: &start}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("set a schedule: %v, want 422", err)
	}
	if _, err := alice.ExtendWorkspace(ctx, "me", "dev", time.Hour); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("extended: %v, want 422", err)
	}
	if _, err := alice.WakeWorkspace(ctx, "me", "none"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("woke what is not there: %v, want ErrNotFound", err)
	}
}

// Whoever administers a shared workspace may schedule it; what the template says
// is set by who may change the template.
func TestSchedulesAreSeenAndSetByThoseWhoMay(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, alice, p, "dev", nil)
	p.planned(job)
	p.finish(job, &provisionerv1.Result{})

	l, err := alice.TemplateLimits(ctx, "process")
	if err != nil || l.ActivityBump != 3600 || !l.Autostart || l.DefaultTTL != 0 {
		t.Fatalf("limits of a new template: %+v, %v", l, err)
	}
	l.DefaultTTL, l.MaxTTL = 1200, 7200
	if _, err := alice.SetTemplateLimits(ctx, "process", l); status(err) != http.StatusForbidden {
		t.Errorf("a member sets a template's limits: %v, want 403", err)
	}
	if set, err := root.SetTemplateLimits(ctx, "process", l); err != nil || set != l {
		t.Errorf("set %+v, %v, want %+v", set, err, l)
	}
	bad := l
	bad.DefaultTTL = 8000
	if _, err := root.SetTemplateLimits(ctx, "process", bad); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("longer than the longest: %v, want 422", err)
	}

	w, err := alice.Workspace(ctx, "me", "dev")
	if err != nil || w.Schedule == nil || w.Schedule.TTL != 1200 || w.Schedule.StopsAt == nil || len(w.Warnings) != 1 {
		t.Fatalf("schedule %+v, warnings %v, %v; want a stop within 20 minutes, and a warning", w.Schedule, w.Warnings, err)
	}
	if w, err = alice.ExtendWorkspace(ctx, "me", "dev", time.Hour); err != nil || time.Until(*w.Schedule.StopsAt) < 50*time.Minute || len(w.Warnings) != 0 {
		t.Errorf("extended: schedule %+v, warnings %v, %v", w.Schedule, w.Warnings, err)
	}
	text, ttl := "MON-FRI 08:30 Europe/Berlin", int64(3600)
	if _, err := bob.SetSchedule(ctx, "alice", "dev", sdk.SetSchedule{Autostart: &text}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("a stranger sets the schedule: %v, want ErrNotFound", err)
	}
	if err := alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareAdmin); err != nil {
		t.Fatal(err)
	}
	w, err = bob.SetSchedule(ctx, "alice", "dev", sdk.SetSchedule{Autostart: &text, TTL: &ttl})
	if err != nil || w.Schedule.Autostart != "mon-fri 08:30 Europe/Berlin" || w.Schedule.TTL != 3600 || !w.Schedule.OwnTTL || w.Schedule.StartsAt == nil {
		t.Errorf("set: %+v, %v", w.Schedule, err)
	}
	text = "whenever"
	if _, err := alice.SetSchedule(ctx, "me", "dev", sdk.SetSchedule{Autostart: &text}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("no schedule: %v, want 422", err)
	}
}

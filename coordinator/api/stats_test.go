package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestStatsAreReadByResolution(t *testing.T) {
	d := deploy(t)
	alice, eve := d.add(t, "alice", store.RoleMember), d.add(t, "eve", store.RoleMember)
	w, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil {
		t.Fatal(err)
	}
	if w.LastActiveAt != nil {
		t.Errorf("a new workspace was last active at %v", w.LastActiveAt)
	}
	report := store.Stats{
		AgentID: uuid.MustParse(w.Agents[0].ID), Length: time.Minute, Active: time.Minute, SSH: 2, RxBytes: 3, TxBytes: 4, CPU: 0.5, LatencyMs: 2,
	}
	if err := d.store.RecordStats(t.Context(), []store.Stats{report}); err != nil {
		t.Fatal(err)
	}
	if err := d.store.RollUpStats(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, resolution := range []string{sdk.StatsMinutes, sdk.StatsHours, sdk.StatsDays} {
		list, err := alice.WorkspaceStats(t.Context(), "me", "dev", resolution, time.Time{})
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v, %v", resolution, list, err)
		}
		if s := list[0]; s.Agent != "main" || s.Seconds != 60 || s.ActiveSeconds != 60 || s.Sessions.SSH != 2 || s.RxBytes != 3 || s.CPU != 0.5 ||
			s.LatencyMs == nil || *s.LatencyMs != 2 {
			t.Errorf("%s: %+v", resolution, s)
		}
	}
	if list, err := alice.WorkspaceStats(t.Context(), "me", "dev", sdk.StatsMinutes, time.Now().Add(time.Hour)); err != nil || len(list) != 0 {
		t.Errorf("since an hour ahead: %v, %v", list, err)
	}
	if _, err := eve.WorkspaceStats(t.Context(), "alice", "dev", sdk.StatsMinutes, time.Time{}); status(err) != http.StatusNotFound {
		t.Errorf("somebody else's: %v, want 404", err)
	}
	if _, err := alice.WorkspaceStats(t.Context(), "me", "dev", "week", time.Time{}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("by week: %v, want 422", err)
	}
	used, err := alice.Workspace(t.Context(), "me", "dev")
	if err != nil || used.LastActiveAt == nil {
		t.Errorf("last active at %v, %v", used.LastActiveAt, err)
	}
}

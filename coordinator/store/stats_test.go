package store

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// exec runs a statement of a test's own.
func (s *Store) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAgentsReportIsKeptByMinute(t *testing.T) {
	s := open(t)
	alice := addUser(t, s, "alice")
	busy, idle := addAgent(t, s, alice, "busy"), addAgent(t, s, alice, "idle")
	report := Stats{
		AgentID: busy.ID, Length: time.Minute, Active: time.Minute, SSH: 2, SFTP: 1, Forwards: 3, RxBytes: 10, TxBytes: 1 << 40,
		CPU: 0.5, CPULimit: 2, Memory: 1 << 33, MemoryLimit: 1 << 34, Disk: 5, DiskLimit: 6, LatencyMs: 1.5,
	}
	if err := s.RecordStats(t.Context(), []Stats{report, {AgentID: idle.ID, Length: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	list, err := s.WorkspaceStats(t.Context(), busy.WorkspaceID, Minutes, time.Now().Add(-time.Hour), 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v, want one row", list, err)
	}
	got := list[0]
	if time.Since(got.At).Abs() > time.Minute {
		t.Errorf("reported at %v", got.At)
	}
	want := report
	want.AgentName, want.At, want.CPUMax, want.MemoryMax = "main", got.At, report.CPU, report.Memory
	if got != want {
		t.Errorf("kept   %+v\nreport %+v", got, want)
	}
	// Only the one that was active was used.
	for _, a := range []Agent{busy, idle} {
		w, err := s.WorkspaceByID(t.Context(), a.WorkspaceID)
		if err != nil {
			t.Fatal(err)
		}
		if used := w.LastActiveAt != nil; used != (a.ID == busy.ID) {
			t.Errorf("workspace %s was last active at %v", w.Name, w.LastActiveAt)
		}
		if w.Version != 1 {
			t.Errorf("version %d after a report", w.Version)
		}
	}
	// It is no news: that would be an event a minute for each.
	events, err := s.EventsAfter(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == EventWorkspace && e.Action == Changed {
			t.Errorf("an event: %s", e.Data)
		}
	}
}

func TestLastActivityOnlyGrows(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	s.exec(t, "update workspaces set last_active_at = now() + interval '1 hour'")
	if err := s.RecordStats(t.Context(), []Stats{{AgentID: a.ID, Length: time.Minute, Active: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	if w, err := s.WorkspaceByID(t.Context(), a.WorkspaceID); err != nil || time.Until(*w.LastActiveAt) < 50*time.Minute {
		t.Errorf("last active at %v, %v: it went back", w.LastActiveAt, err)
	}
}

func TestStatsRollUpHoweverOften(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	// Four minutes of an hour of long ago, two of another of that day, and one of now.
	day := time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour)
	minute := func(at time.Time, seconds, active, cpu float64, ssh, rx int, latency *float64) {
		s.exec(t, `insert into agent_stats (agent_id, workspace_id, resolution, at, seconds, active_seconds, ssh, sftp, forwards,
			rx_bytes, tx_bytes, cpu, cpu_max, cpu_limit, memory, memory_max, memory_limit, disk, disk_limit, latency_ms)
			values ($1, $2, 'minute', $3, $4, $5, $6, 0, 0, $7, 0, $8, $8, 4, 100, 100, 0, 0, 0, $9)`,
			a.ID, a.WorkspaceID, at, seconds, active, ssh, rx, cpu, latency)
	}
	latency := 2.0
	minute(day.Add(time.Minute), 60, 60, 1, 1, 10, &latency)
	minute(day.Add(2*time.Minute), 60, 0, 0, 3, 10, nil)
	minute(day.Add(3*time.Minute), 120, 0, 0.5, 0, 0, nil)
	minute(day.Add(90*time.Minute), 60, 60, 2, 1, 5, nil)
	minute(day.Add(91*time.Minute), 60, 60, 2, 1, 5, nil)
	minute(time.Now(), 60, 60, 1, 1, 7, nil)

	for turn := range 3 { // a second one finds the old minutes gone, and changes nothing
		if err := s.RollUpStats(t.Context()); err != nil {
			t.Fatal(err)
		}
		minutes, _ := s.WorkspaceStats(t.Context(), a.WorkspaceID, Minutes, day, 100)
		if len(minutes) != 1 || minutes[0].RxBytes != 7 {
			t.Fatalf("turn %d: minutes kept: %+v, want the one of now", turn, minutes)
		}
		hours, _ := s.WorkspaceStats(t.Context(), a.WorkspaceID, Hours, day, 100)
		if len(hours) != 3 || !hours[2].At.Equal(day) || !hours[1].At.Equal(day.Add(time.Hour)) {
			t.Fatalf("turn %d: hours: %+v", turn, hours)
		}
		h := hours[2]
		if h.Length != 4*time.Minute || h.Active != time.Minute || h.SSH != 3 || h.RxBytes != 20 || h.CPUMax != 1 || h.LatencyMs != 2 ||
			math.Abs(h.CPU-0.5) > 1e-9 { // 60 s of 1, 60 of 0 and 120 of 0.5
			t.Errorf("turn %d: hour: %+v", turn, h)
		}
		days, _ := s.WorkspaceStats(t.Context(), a.WorkspaceID, Days, day, 100)
		if len(days) != 2 {
			t.Fatalf("turn %d: days: %+v", turn, days)
		}
		if d := days[1]; !d.At.Equal(day) || d.RxBytes != 30 || d.Length != 6*time.Minute || d.Active != 3*time.Minute || d.CPUMax != 2 {
			t.Errorf("turn %d: day: %+v", turn, d)
		}
	}
}

func TestOneReplicaRollsUpAtATime(t *testing.T) {
	s := open(t)
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "select pg_advisory_xact_lock($1)", int64(rollUpKey)); err != nil {
		t.Fatal(err)
	}
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	if err := s.RecordStats(t.Context(), []Stats{{AgentID: a.ID, Length: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	rolled := func() int {
		if err := s.RollUpStats(t.Context()); err != nil {
			t.Fatal(err)
		}
		hours, err := s.WorkspaceStats(t.Context(), a.WorkspaceID, Hours, time.Now().Add(-2*time.Hour), 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(hours)
	}
	if n := rolled(); n != 0 {
		t.Errorf("%d hours while another replica is at it", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rolled(); n != 1 {
		t.Errorf("%d hours after it, want 1", n)
	}
}

func TestMetadataIsTheLastValueOfWhatTheTemplateAsksFor(t *testing.T) {
	s := open(t)
	a := addAgent(t, s, addUser(t, s, "alice"), "dev")
	s.exec(t, `update agents set manifest = '{"metadata": [{"key": "load", "script": "x"}, {"key": "disk"}]}' where id = $1`, a.ID)
	t0 := time.Now().Truncate(time.Second)
	for _, batch := range [][]MetadataValue{
		{{AgentID: a.ID, Key: "load", Value: "1", At: t0}, {AgentID: a.ID, Key: "disk", Err: "no", At: t0}, {AgentID: a.ID, Key: "other", Value: "x", At: t0}},
		{{AgentID: a.ID, Key: "load", Value: "2", At: t0.Add(time.Second)}},
		{{AgentID: a.ID, Key: "load", Value: "late", At: t0.Add(-time.Second)}},
	} {
		if err := s.RecordMetadata(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	// Values that are others now are events, and the same ones again are none.
	if err := s.RecordMetadata(t.Context(), []MetadataValue{{AgentID: a.ID, Key: "load", Value: "2", At: t0.Add(time.Second)}}); err != nil {
		t.Fatal(err)
	}
	events, err := s.EventsAfter(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var news []string
	for _, e := range events {
		if e.Kind == EventMetadata {
			news = append(news, string(e.Data))
			if e.SubjectID != a.ID || e.WorkspaceID != a.WorkspaceID {
				t.Errorf("%+v", e)
			}
		}
	}
	want := []string{
		`{"agent": "main", "metadata": {"disk": {"error": "no", "value": ""}, "load": {"error": "", "value": "1"}}}`,
		`{"agent": "main", "metadata": {"load": {"error": "", "value": "2"}}}`,
	}
	if !slices.Equal(news, want) {
		t.Errorf("events:\n%s", strings.Join(news, "\n"))
	}
	all, err := s.AgentMetadata(t.Context(), []uuid.UUID{a.ID})
	if err != nil {
		t.Fatal(err)
	}
	got := all[a.ID]
	if len(got) != 2 || got["load"].Value != "2" || !got["load"].At.Equal(t0.Add(time.Second)) || got["disk"].Err != "no" {
		t.Errorf("kept %+v", got)
	}
}

func TestAgentsThatNeverComeTimeOut(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	// Two builds that ended 100 s ago, of agents that have 60 s and 600 s, one of an agent
	// that has for ever, and one that goes on.
	s.exec(t, `with t as (insert into templates (name, created_by) values ('t', $1) returning id)
		insert into template_versions (template_id, number, archive, digest, created_by) select id, 1, '', '', $1 from t`, u.ID)
	for name, tt := range map[string]struct {
		timeout int
		ended   *int
		state   AgentState
	}{
		"late":     {60, new(100), AgentTimeout},
		"in-time":  {600, new(100), AgentConnecting},
		"for-ever": {0, new(100), AgentConnecting},
		"building": {60, nil, AgentConnecting},
	} {
		a := addAgent(t, s, u, name)
		s.exec(t, `with b as (
				insert into builds (workspace_id, number, transition, template_version_id, initiator_id, agent_secret, finished_at)
				select $1, 1, 'start', v.id, $2, '', now() - make_interval(secs => $3) from template_versions v returning id
			) update agents set build_id = b.id, connection_timeout = $5 from b where agents.id = $4`, a.WorkspaceID, u.ID, tt.ended, a.ID, tt.timeout)
		if _, err := s.GiveUpOnAgents(t.Context()); err != nil {
			t.Fatal(err)
		}
		w, err := s.WorkspaceByID(t.Context(), a.WorkspaceID)
		if err != nil || w.Agents[0].State != tt.state || (w.Agents[0].DisconnectedAt != nil) != (tt.state == AgentTimeout) {
			t.Errorf("%s: %+v, %v, want %s", name, w.Agents[0], err, tt.state)
		}
		if tt.state == AgentTimeout { // better late
			if err := s.RecordLiveness(t.Context(), []AgentLiveness{{AgentID: a.ID, State: AgentConnected, At: time.Now()}}); err != nil {
				t.Fatal(err)
			}
			if w, err := s.WorkspaceByID(t.Context(), a.WorkspaceID); err != nil || w.Agents[0].State != AgentConnected || w.Agents[0].DisconnectedAt != nil {
				t.Errorf("%s, that came after all: %+v, %v", name, w.Agents[0], err)
			}
		}
	}
}

package store

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestWhatWaitsIsCountedByTagsAndWhetherSomebodyHasThem(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	push := func(tags map[string]string) {
		t.Helper()
		if _, err := s.CreateVersion(t.Context(), NewVersion{
			TemplateName: "t" + tags["site"], Archive: []byte("archive"), Digest: []byte("digest"), Tags: tags, CreatorID: u.ID,
		}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().Add(-time.Minute)
	push(map[string]string{"site": "mars"})
	push(map[string]string{"site": "mars"})
	push(map[string]string{"site": "moon"})
	if _, err := s.ConnectProvisioner(t.Context(), Provisioner{ID: uuid.New(), Name: "p", Tags: map[string]string{"site": "moon", "more": "x"}, Slots: 1}); err != nil {
		t.Fatal(err)
	}
	queued, err := s.QueuedByTags(t.Context())
	if err != nil || len(queued) != 2 {
		t.Fatalf("%+v, %v, want two sets of tags", queued, err)
	}
	for _, q := range queued {
		mars := q.Tags["site"] == "mars"
		if mars && (q.Jobs != 2 || q.Served) || !mars && (q.Jobs != 1 || !q.Served) || q.Oldest.Before(began) {
			t.Errorf("%+v", q)
		}
	}
	counts, err := s.JobCounts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Status != JobQueued || counts[0].Jobs != 3 {
		t.Errorf("%+v, %v, want three that are queued", counts, err)
	}
}

func TestLostAgentsAreThoseOfWorkspacesThatRun(t *testing.T) {
	s := open(t)
	u := addUser(t, s, "alice")
	var batch []AgentLiveness
	for i, name := range []string{"here", "lost", "gone"} {
		a := addAgent(t, s, u, name)
		state := AgentTimeout
		if name == "here" {
			state = AgentConnected
		}
		batch = append(batch, AgentLiveness{a.ID, state, time.Now()})
		if name == "gone" {
			w, err := s.WorkspaceByName(t.Context(), "alice", name)
			if err != nil {
				t.Fatal(i, err)
			}
			if err := s.DeleteWorkspace(t.Context(), w.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.RecordLiveness(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	counts, err := s.AgentCounts(t.Context())
	if err != nil || len(counts) != 2 || counts[AgentConnected] != 1 || counts[AgentTimeout] != 1 {
		t.Errorf("%v, %v, want one connected and one lost", counts, err)
	}
	lost, err := s.LostAgents(t.Context())
	if err != nil || len(lost) != 1 || lost[0].Workspace != "lost" || lost[0].Owner != "alice" || lost[0].At == nil {
		t.Errorf("%+v, %v", lost, err)
	}
}

func TestThePoolIsCounted(t *testing.T) {
	s := open(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := s.PoolStats(); p.Max != maxConns || p.Open < 1 || p.Busy != 0 || p.Opened < 1 {
		t.Errorf("%+v", p)
	}
}

func TestInspectLooksAndChangesNothing(t *testing.T) {
	url := empty(t)
	for range 2 { // the second look sees what the first did
		in, err := Inspect(t.Context(), url)
		if err != nil || len(in.Pending) < 3 || in.Pending[0] != "00001_start.sql" || in.Version == "" || in.Unknown != 0 {
			t.Errorf("empty: %+v, %v", in, err)
		}
	}
	s, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if in, err := Inspect(t.Context(), url); err != nil || len(in.Pending) != 0 {
		t.Errorf("migrated: %+v, %v", in, err)
	}
	if _, err := s.pool.Exec(t.Context(), "insert into goose_db_version (version_id, is_applied) values (99999, true)"); err != nil {
		t.Fatal(err)
	}
	if in, err := Inspect(t.Context(), url); err != nil || in.Unknown != 1 {
		t.Errorf("of a newer release: %+v, %v", in, err)
	}
	if _, err := Inspect(t.Context(), "postgres://alice:hunter2@127.0.0.1:1/adit"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nobody there: %v", err)
	}
}

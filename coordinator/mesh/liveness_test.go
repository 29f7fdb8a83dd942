package mesh

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

func states(batch []store.AgentLiveness) map[uuid.UUID]store.AgentState {
	m := make(map[uuid.UUID]store.AgentState)
	for _, l := range batch {
		m[l.AgentID] = l.State
	}
	return m
}

func TestLivenessOfOneAgent(t *testing.T) {
	l := newLiveness(30 * time.Second)
	id := uuid.New()
	t0 := time.Unix(1000, 0)
	l.due(t0) // the first refresh is behind us

	l.happened(id, agentJoined, t0)
	batch := l.due(t0)
	if states(batch)[id] != store.AgentConnected {
		t.Fatalf("after joining: %v", batch)
	}
	l.written(batch)
	if batch := l.due(t0.Add(time.Second)); len(batch) != 0 {
		t.Errorf("nothing changed, yet due: %v", batch)
	}
	if batch := l.due(t0.Add(livenessRefresh)); len(batch) != 1 || !batch[0].At.Equal(t0.Add(livenessRefresh)) {
		t.Errorf("at the refresh: %v", batch)
	} else {
		l.written(batch)
	}

	broke := t0.Add(20 * time.Second)
	l.happened(id, agentBroke, broke)
	if batch := l.due(broke.Add(29 * time.Second)); len(batch) != 0 {
		t.Errorf("29 s after its stream broke: %v", batch)
	}
	batch = l.due(broke.Add(30 * time.Second))
	if states(batch)[id] != store.AgentTimeout || !batch[0].At.Equal(broke) {
		t.Errorf("30 s after its stream broke: %v, want timeout since it broke", batch)
	}
	l.written(batch)

	l.happened(id, agentJoined, broke.Add(time.Minute))
	l.happened(id, agentBye, broke.Add(2*time.Minute))
	if batch := l.due(broke.Add(2 * time.Minute)); states(batch)[id] != store.AgentDisconnected {
		t.Errorf("after bye: %v, want disconnected", batch)
	}
}

func TestAgentThatReturnsInTimeNeverTimedOut(t *testing.T) {
	l := newLiveness(30 * time.Second)
	id := uuid.New()
	t0 := time.Unix(1000, 0)
	l.happened(id, agentJoined, t0)
	l.happened(id, agentBroke, t0.Add(time.Second))
	l.happened(id, agentJoined, t0.Add(20*time.Second))
	if got := states(l.due(t0.Add(2 * time.Minute)))[id]; got != store.AgentConnected {
		t.Errorf("got %v, want connected", got)
	}
}

func TestAgentsOfAnEarlierCoordinatorTimeOutUnlessTheyReturn(t *testing.T) {
	l := newLiveness(30 * time.Second)
	back, away := uuid.New(), uuid.New()
	t0 := time.Unix(1000, 0)
	l.expect([]uuid.UUID{back, away}, t0)
	l.happened(back, agentJoined, t0.Add(5*time.Second))
	got := states(l.due(t0.Add(31 * time.Second)))
	if got[back] != store.AgentConnected || got[away] != store.AgentTimeout {
		t.Errorf("got %v", got)
	}
}

func TestWhatTheDatabaseDidNotTakeStaysDue(t *testing.T) {
	l := newLiveness(30 * time.Second)
	id := uuid.New()
	t0 := time.Unix(1000, 0)
	l.happened(id, agentJoined, t0)
	first := l.due(t0) // not written: the database is away
	l.happened(id, agentBye, t0.Add(time.Second))
	l.written(first) // a late answer does not hide the newer state
	if got := states(l.due(t0.Add(2 * time.Second)))[id]; got != store.AgentDisconnected {
		t.Errorf("got %v, want disconnected", got)
	}
}

package mesh

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// livenessTick is how often changes are written: soon enough for a person
	// who looks, and one statement however many agents changed.
	livenessTick = 250 * time.Millisecond

	// livenessRefresh is how often last_connected_at of all connected agents
	// is brought up to date, in one statement too.
	livenessRefresh = 15 * time.Second

	// awaitedEvery is how often agents are looked for that have never come in the
	// time their template gives them, which is minutes.
	awaitedEvery = 5 * time.Second
)

// agentEvent is what can happen to an agent's liveness.
type agentEvent uint8

const (
	agentJoined agentEvent = iota // a stream is up
	agentBye                      // it left on purpose
	agentBroke                    // its stream broke
	agentWaited                   // it has not come back in time
)

// nextState moves an agent's state. The drawing is at store.AgentState.
func nextState(s store.AgentState, e agentEvent) store.AgentState {
	switch {
	case e == agentJoined:
		return store.AgentConnected
	case e == agentBye:
		return store.AgentDisconnected
	case e == agentWaited && s == store.AgentConnected:
		return store.AgentTimeout
	default: // agentBroke: it may be back in a moment
		return s
	}
}

// liveness follows the agents and says what to write. It does no I/O and takes
// no locks.
type liveness struct {
	timeout   time.Duration
	agents    map[uuid.UUID]*agentLife
	refreshed time.Time
}

type agentLife struct {
	state store.AgentState
	at    time.Time // when it was last seen in this state
	broke time.Time // when its stream broke; zero while it is up
	dirty bool
}

func newLiveness(timeout time.Duration) *liveness {
	return &liveness{timeout: timeout, agents: make(map[uuid.UUID]*agentLife)}
}

// expect takes up the agents that an earlier coordinator left connected: they
// have until the timeout to return.
func (l *liveness) expect(ids []uuid.UUID, now time.Time) {
	for _, id := range ids {
		if l.agents[id] == nil {
			l.agents[id] = &agentLife{state: store.AgentConnected, at: now, broke: now}
		}
	}
}

// happened moves an agent's state.
func (l *liveness) happened(id uuid.UUID, e agentEvent, now time.Time) {
	a := l.agents[id]
	if a == nil {
		a = &agentLife{state: store.AgentConnecting}
		l.agents[id] = a
	}
	next := nextState(a.state, e)
	if e == agentBroke {
		a.broke = now
	} else {
		a.broke = time.Time{}
	}
	if next != a.state || e == agentJoined {
		a.state, a.at, a.dirty = next, now, true
	}
}

// due returns what to write now: changes, and at each refresh all that are
// connected.
func (l *liveness) due(now time.Time) []store.AgentLiveness {
	refresh := now.Sub(l.refreshed) >= livenessRefresh
	if refresh {
		l.refreshed = now
	}
	var batch []store.AgentLiveness
	for id, a := range l.agents {
		if !a.broke.IsZero() && now.Sub(a.broke) >= l.timeout {
			l.happened(id, agentWaited, a.broke) // that is when it was lost
		}
		if a.state == store.AgentConnected && a.broke.IsZero() && refresh {
			a.at, a.dirty = now, true
		}
		if a.dirty {
			batch = append(batch, store.AgentLiveness{AgentID: id, State: a.state, At: a.at})
		}
	}
	return batch
}

// written notes that a batch is in the database. What changed since stays due.
func (l *liveness) written(batch []store.AgentLiveness) {
	for _, b := range batch {
		a := l.agents[b.AgentID]
		if a == nil || a.state != b.State || !a.at.Equal(b.At) {
			continue
		}
		a.dirty = false
		if a.state != store.AgentConnected {
			delete(l.agents, b.AgentID) // nothing more to follow
		}
	}
}

// livenessStore is where liveness goes.
type livenessStore interface {
	RecordLiveness(ctx context.Context, batch []store.AgentLiveness) error
	ConnectedAgents(ctx context.Context) ([]uuid.UUID, error)
	GiveUpOnAgents(ctx context.Context) ([]uuid.UUID, error)
}

// giveUpOnAgents looks for agents that never came, until ctx is done.
func (h *Hub) giveUpOnAgents(ctx context.Context) {
	tick := time.NewTicker(awaitedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// While the database is away nobody can come either.
		ids, err := h.cfg.Store.GiveUpOnAgents(ctx)
		for _, id := range ids {
			h.log.Warn("agent has not connected in time", "agent", id)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Debug("agents that never came have to wait", "err", err)
		}
	}
}

// recordLiveness writes what is due at each tick until ctx is done, and once
// more then. While the database is away the same changes stay due, and no
// stream notices.
func (h *Hub) recordLiveness(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(livenessTick)
	defer tick.Stop()
	expected, away := false, false
	for {
		if !expected {
			if ids, err := h.cfg.Store.ConnectedAgents(ctx); err == nil {
				h.mu.Lock()
				h.liveness.expect(ids, time.Now())
				h.mu.Unlock()
				expected = true
			}
		}
		var done bool
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		h.mu.Lock()
		batch := h.liveness.due(time.Now())
		h.mu.Unlock()
		if len(batch) > 0 {
			err := h.cfg.Store.RecordLiveness(context.WithoutCancel(ctx), batch)
			switch {
			case err == nil:
				h.mu.Lock()
				h.liveness.written(batch)
				h.mu.Unlock()
				away = false
			case !away:
				log.Warn("liveness cannot be written; agents stay connected, and it will be tried again", "err", err)
				away = true
			}
		}
		if done {
			return
		}
	}
}

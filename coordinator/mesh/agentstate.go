package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

const (
	// statesGather is how long what agents tell of their workspaces is gathered: people
	// who watch see it within a second, and a thousand agents are one statement.
	statesGather = 100 * time.Millisecond

	// statesRetry is how soon it is written again when the database was away.
	statesRetry = time.Second

	// maxPorts and maxApps bound what an agent has, and maxStateText each text.
	maxPorts     = 128
	maxApps      = 128
	maxStateText = 256
	maxDirectory = 4 << 10
)

// agentStates gathers how things are in workspaces until it is written: of each agent the
// last it told. It does no I/O and takes no locks.
type agentStates struct {
	waiting map[uuid.UUID]store.AgentReport
	// news has a value while something waits.
	news chan struct{}
}

func newAgentStates() *agentStates {
	return &agentStates{waiting: make(map[uuid.UUID]store.AgentReport), news: make(chan struct{}, 1)}
}

// came takes what an agent tells. What no agent of ours sends is an error.
func (s *agentStates) came(agent uuid.UUID, st *meshv1.State) error {
	if n, m, o := len(st.GetPorts()), len(st.GetApps()), len(st.GetPortSettings()); n > maxPorts || m > maxApps || o > maxPorts {
		return fmt.Errorf("%d ports, %d apps and %d settings of ports, at most %d, %d and %d are allowed", n, m, o, maxPorts, maxApps, maxPorts)
	}
	if n := len(st.GetDirectory()); n > maxDirectory {
		return fmt.Errorf("a directory of %d bytes", n)
	}
	r := store.AgentReport{AgentID: agent, Directory: foreign.Printable(st.GetDirectory())}
	for _, p := range st.GetPorts() {
		if p.GetPort() == 0 || p.GetPort() > 65535 || !slices.Contains([]string{"tcp", "udp"}, p.GetNetwork()) ||
			!slices.Contains([]string{"tcp", "udp", "http", "https"}, p.GetProtocol()) || p.GetPid() > 1<<30 ||
			len(p.GetAddress()) > maxStateText || len(p.GetProcess()) > maxStateText {
			return fmt.Errorf("a port that is none: %.200v", p)
		}
		r.Ports = append(r.Ports, store.AgentPort{
			Network: p.GetNetwork(), Port: int(p.GetPort()), Address: foreign.Printable(p.GetAddress()), Process: foreign.Printable(p.GetProcess()),
			PID: int(p.GetPid()), Protocol: p.GetProtocol(),
		})
	}
	for _, a := range st.GetApps() {
		if len(a.GetSlug()) > maxStateText || len(a.GetState()) > maxStateText || len(a.GetWhy()) > maxMetadataValue {
			return fmt.Errorf("an app that is none: %.200v", a)
		}
		r.Apps = append(r.Apps, store.AgentApp{Slug: foreign.Printable(a.GetSlug()), State: foreign.Printable(a.GetState()), Why: foreign.Printable(a.GetWhy())})
	}
	for _, p := range st.GetPortSettings() {
		if p.GetFirst() == 0 || p.GetLast() < p.GetFirst() || p.GetLast() > 65535 || len(p.GetLabel()) > maxStateText ||
			!slices.Contains([]string{"", "tcp", "http", "https"}, p.GetProtocol()) || !slices.Contains([]string{"notify", "ignore", "open"}, p.GetOnOpen()) ||
			!slices.Contains([]string{"owner", "authenticated"}, p.GetVisibility()) {
			return fmt.Errorf("a setting of ports that is none: %.200v", p)
		}
		r.PortSettings = append(r.PortSettings, store.PortSetting{
			First: int(p.GetFirst()), Last: int(p.GetLast()), Label: foreign.Printable(p.GetLabel()), Protocol: p.GetProtocol(),
			OnOpen: p.GetOnOpen(), Visibility: p.GetVisibility(),
		})
	}
	s.waiting[agent] = r
	s.wake()
	return nil
}

func (s *agentStates) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// take returns what is to be written, and forgets it.
func (s *agentStates) take() []store.AgentReport {
	batch := slices.Collect(maps.Values(s.waiting))
	clear(s.waiting)
	return batch
}

// putBack keeps what could not be written, unless there is something newer.
func (s *agentStates) putBack(batch []store.AgentReport) {
	for _, r := range batch {
		if _, newer := s.waiting[r.AgentID]; !newer {
			s.waiting[r.AgentID] = r
		}
	}
	if len(batch) > 0 {
		s.wake()
	}
}

// recordStates writes what agents tell, soon after it came, until ctx is done.
func (h *Hub) recordStates(ctx context.Context, log *slog.Logger) {
	for pause := statesGather; ; {
		select {
		case <-ctx.Done():
			return
		case <-h.states.news:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		h.mu.Lock()
		batch := h.states.take()
		h.mu.Unlock()
		pause = statesGather
		if err := h.cfg.Store.RecordAgentReports(context.WithoutCancel(ctx), batch); err != nil {
			log.Debug("what agents tell of their workspaces has to wait", "err", err)
			h.mu.Lock()
			h.states.putBack(batch)
			h.mu.Unlock()
			pause = statesRetry
		}
	}
}

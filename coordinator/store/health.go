package store

import (
	"context"
	"time"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// PoolStats is how the connections to the database are used.
type PoolStats struct {
	Max, Open, Busy int32
	// Waits counts the calls that had to wait for a connection, WaitTime how
	// long all of them did.
	Waits    int64
	WaitTime time.Duration
	Opened   int64
}

// PoolStats says how the connections are used now.
func (s *Store) PoolStats() PoolStats {
	st := s.pool.Stat()
	return PoolStats{
		Max: st.MaxConns(), Open: st.TotalConns(), Busy: st.AcquiredConns(),
		Waits: st.EmptyAcquireCount(), WaitTime: st.EmptyAcquireWaitTime(), Opened: st.NewConnsCount(),
	}
}

// JobCount is how many jobs have a status that is not the last, and since when
// the oldest.
type JobCount struct {
	Status JobStatus
	Jobs   int64
	Oldest time.Time
}

// JobCounts counts the jobs that are not over.
func (s *Store) JobCounts(ctx context.Context) ([]JobCount, error) {
	rows, err := one(ctx, "count jobs", s.q.JobsByStatus)
	list := make([]JobCount, 0, len(rows))
	for _, r := range rows {
		list = append(list, JobCount{JobStatus(r.Status), r.Jobs, r.Oldest})
	}
	return list, err
}

// QueuedJobs is how many jobs wait for a provisioner with some tags. Served says
// that one with all of them was seen within a minute.
type QueuedJobs struct {
	Tags   map[string]string
	Jobs   int64
	Oldest time.Time
	Served bool
}

// QueuedByTags lists what waits for provisioners, the oldest first, up to 20
// sets of tags.
func (s *Store) QueuedByTags(ctx context.Context) ([]QueuedJobs, error) {
	rows, err := one(ctx, "queued jobs", s.q.QueuedByTags)
	list := make([]QueuedJobs, 0, len(rows))
	for _, r := range rows {
		list = append(list, QueuedJobs{mapFrom(r.Tags), r.Jobs, r.Oldest, r.Served})
	}
	return list, err
}

// AgentCounts counts the agents of running workspaces by state.
func (s *Store) AgentCounts(ctx context.Context) (map[AgentState]int64, error) {
	rows, err := one(ctx, "count agents", s.q.AgentsByState)
	counts := make(map[AgentState]int64, len(rows))
	for _, r := range rows {
		counts[AgentState(r.State)] = r.Agents
	}
	return counts, err
}

// LostAgent is an agent of a running workspace that was lost.
type LostAgent struct {
	Owner, Workspace, Agent string
	At                      *time.Time
}

// LostAgents lists those that were lost last, up to five.
func (s *Store) LostAgents(ctx context.Context) ([]LostAgent, error) {
	rows, err := one(ctx, "lost agents", func(ctx context.Context) ([]db.LostAgentsRow, error) { return s.q.LostAgents(ctx) })
	list := make([]LostAgent, 0, len(rows))
	for _, r := range rows {
		list = append(list, LostAgent{r.Owner, r.Workspace, r.Agent, r.DisconnectedAt})
	}
	return list, err
}

// Now returns the database's time.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return one(ctx, "now", s.q.Now) }

// Version returns the version of the database server.
func (s *Store) Version(ctx context.Context) (server string, err error) {
	return one(ctx, "server version", func(ctx context.Context) (v string, err error) {
		err = s.pool.QueryRow(ctx, "show server_version").Scan(&v)
		return v, err
	})
}

// Package workspaces makes, moves and ends workspaces: it keeps templates,
// decides which build may run, hands jobs to provisioners, and keeps the states
// and logs that come back.
//
// What moves a job, its build and its workspace is one pure function, [step];
// what is due without anybody asking is another, [due], for workspaces [upkeep], and
// for those that are kept ready [prepare]. Each step is one
// transaction, and what it has to tell others is only ever a hint: whatever a
// coordinator that was killed did not say follows again from what is stored, at
// the next look or when the provisioner returns. So there is nothing to recover.
//
// Make a [Service] with [New], register it with a gRPC server for provisioners,
// and run Run beside it. Errors match store.ErrNotFound, store.ErrConflict
// (with an error that says what is in the way, such as *[Underway] and
// *[StateHeld]) and *[BadInput]; any other means that the database did not do
// its part.
package workspaces

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// defaultLease is two heartbeats of 10 s, and one that is late.
	defaultLease = 30 * time.Second

	// defaultCancelGrace is how long Terraform may take to end once it was
	// interrupted: it waits for what its providers have under way.
	defaultCancelGrace = 2 * time.Minute

	// defaultTimeout is how long a job may take: machines of some clouds take
	// half an hour to come up.
	defaultTimeout = time.Hour

	// lookEvery is how often what is due is looked for.
	lookEvery = time.Second
)

// Config configures a Service.
type Config struct {
	Store *store.Store
	// Keys seal states.
	Keys *seal.Keys
	// AccessURL is where agents reach the coordinator; nil means that the
	// provisioner's own way is the best guess, and jobs say nothing.
	AccessURL *url.URL
	// AgentsGone is told of agents that a build removed, and JobOver of jobs that
	// ended here. Nil means nobody is.
	AgentsGone func(ids []uuid.UUID)
	JobOver    func(Over)
	// Lease is how long a job may go without a heartbeat, CancelGrace how long
	// an interrupted one may take to end, and Timeout how long any may take.
	// Zero means 30 s, 2 min and 1 h.
	Lease, CancelGrace, Timeout time.Duration
	// ScheduleClock says what time it is for schedules, given the database's; nil is
	// that.
	ScheduleClock func(now time.Time) time.Time
	// PrivateRepositories lets templates follow repositories at addresses that are not the
	// internet's.
	PrivateRepositories bool
	// Version is the coordinator's own, which those of provisioners must be near;
	// empty is near all.
	Version string
	Logger  *slog.Logger
}

// Service is the part of the coordinator that orders provisioners about. Its
// methods may be called concurrently.
type Service struct {
	provisionerv1.UnimplementedProvisionerServer
	cfg     Config
	store   *store.Store
	log     *slog.Logger
	changes *changes
	queue   queue
	pools   chan struct{} // has a value when pools may need something
	pushes  chan struct{} // has a value when there may be something to fetch

	poolCounts atomic.Pointer[PoolCounts] // of the latest look; nil before the first

	mu       sync.Mutex // guards what follows; never held over I/O
	sessions map[uuid.UUID]*session
}

// New returns a service without provisioners.
func New(cfg Config) *Service {
	if cfg.Lease == 0 {
		cfg.Lease = defaultLease
	}
	if cfg.CancelGrace == 0 {
		cfg.CancelGrace = defaultCancelGrace
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ScheduleClock == nil {
		cfg.ScheduleClock = func(now time.Time) time.Time { return now }
	}
	if cfg.AgentsGone == nil {
		cfg.AgentsGone = func([]uuid.UUID) {}
	}
	if cfg.JobOver == nil {
		cfg.JobOver = func(Over) {}
	}
	return &Service{cfg: cfg, store: cfg.Store, log: cfg.Logger, changes: newChanges(), pools: make(chan struct{}, 1), pushes: make(chan struct{}, 1), sessions: make(map[uuid.UUID]*session)}
}

// Run does what is due, until ctx is done.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.keep(ctx) })
	wg.Go(func() { s.prepareAll(ctx) })
	wg.Go(func() { s.follow(ctx) })
	defer wg.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var here time.Time // when this coordinator was first there, by the database's clock
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look(ctx, &here)
		}
	}
}

// look does what is due now.
func (s *Service) look(ctx context.Context, here *time.Time) {
	jobs, now, err := s.store.RunningJobs(ctx)
	if err != nil {
		*here = time.Time{} // no heartbeat could be written meanwhile
		s.log.DebugContext(ctx, "what is due has to wait", "err", err)
		return
	}
	if here.IsZero() {
		*here = now
	}
	for _, j := range jobs {
		e := due(j, now, *here, s.limits())
		if e == nil {
			continue
		}
		if err := s.step(ctx, j.ID, e); err != nil {
			s.log.WarnContext(ctx, "job could not be moved on", "job", j.ID, "err", err)
		}
	}
}

func (s *Service) limits() limits {
	return limits{lease: s.cfg.Lease, grace: s.cfg.CancelGrace, timeout: s.cfg.Timeout}
}

// Over is a job that came to its end.
type Over struct {
	// Kind is "import", or a build's transition.
	Kind   string
	Status store.JobStatus
	// Waited is how long no provisioner had it, and Took how long its last attempt
	// took; that is zero if there was none.
	Waited, Took time.Duration
}

// overOf describes a job that is over.
func overOf(st store.JobState) Over {
	j := st.Job
	o := Over{Kind: "import", Status: j.Status, Waited: j.FinishedAt.Sub(j.CreatedAt)}
	if st.Build != nil {
		o.Kind = string(st.Build.Transition)
	}
	if j.StartedAt != nil {
		o.Waited, o.Took = j.StartedAt.Sub(j.CreatedAt), j.FinishedAt.Sub(*j.StartedAt)
	}
	return o
}

// step moves a job and tells those who are there.
func (s *Service) step(ctx context.Context, job uuid.UUID, e event) error {
	var tell []action
	was := store.JobQueued
	move := s.store.StepJob
	if _, ok := e.(planned); ok {
		move = s.store.PlanJob
	}
	st, gone, err := move(ctx, job, func(st *store.JobState) (store.Writes, error) {
		was = st.Job.Status
		w, actions, err := step(st, e)
		tell = actions
		return w, err
	})
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		s.cfg.AgentsGone(gone)
	}
	for _, a := range tell {
		s.act(a)
	}
	s.changes.notify(job) // whose log may be whole now
	if st.Job.Status.Over() && !was.Over() {
		s.cfg.JobOver(overOf(st))
		poke(s.pools) // it may have been one's
	}
	return nil
}

// act does what a step asked for.
func (s *Service) act(a action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch a := a.(type) {
	case lookForWork:
		for _, sess := range s.sessions {
			sess.lookForWork()
		}
	case tellCancel:
		if sess := s.sessions[a.provisioner]; sess != nil {
			sess.cancelJob(a.job, a.force)
		}
	}
}

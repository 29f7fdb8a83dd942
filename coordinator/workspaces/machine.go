package workspaces

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// maxAttempts is how often a job is handed out. One that takes its provisioner
// down with it must not go through all of them for ever.
const maxAttempts = 3

// event is what happens to a job.
//
//	            taken              finished
//	queued ───────────▶ running ───────────▶ succeeded, failed, canceled
//	 │  ▲                │ │ ▲
//	 │  │      lost      │ │ │ planned: from now on things exist outside
//	 │  └────────────────┘ └─┘ cancelAsked, forced: its provisioner is told
//	 │   unless planned, or too often: then failed
//	 └──cancelAsked──▶ canceled
//
// The workspace goes with its build's job:
//
//	start:  pending ─taken─▶ starting ─succeeded─▶ running
//	stop:   stopping ───────────────── succeeded─▶ stopped
//	delete: deleting ───────────────── succeeded─▶ deleted
//	any:    failed or canceled ──────────────────▶ failed
//
// From planned to finished the provisioner may hold a state that is newer than
// the one kept. If it is lost, the workspace stays held until it has delivered.
type event interface{ event() }

type (
	// taken: a provisioner got it.
	taken struct{ provisioner uuid.UUID }
	// planned: a provisioner is about to change what exists outside, and may
	// once the step is done.
	planned struct {
		attempt int
		agents  func(build store.BuildState) ([]store.NewAgent, error)
		// resources is JSON, and cost what they will cost a day.
		resources []byte
		cost      int
	}
	// cancelAsked: somebody wants it ended, or its time is up.
	cancelAsked struct{ why string }
	// forced: it did not end in time after it was interrupted.
	forced struct{}
	// reminded: its provisioner may not have heard that it is to end.
	reminded struct{}
	// lost: its provisioner is gone. A heartbeat after the one that was seen
	// proves the opposite; nil is said by the provisioner itself.
	lost struct {
		attempt int
		seen    *time.Time
		why     string
	}
	// finished: its provisioner is done with it.
	finished struct {
		attempt  int
		status   store.JobStatus
		err      string
		problems []byte
		// resources is JSON; nil if they are not known.
		resources       []byte
		cost            int    // what they cost a day
		found, lockFile []byte // of an import that succeeded
		// agents are there now, and some know where they run.
		agents []*provisionerv1.Agent
	}
)

func (taken) event()       {}
func (planned) event()     {}
func (cancelAsked) event() {}
func (forced) event()      {}
func (reminded) event()    {}
func (lost) event()        {}
func (finished) event()    {}

// action is what a step asks to be done once it is stored. It may be lost: due,
// or the provisioner's return, asks for it again.
type action interface{ action() }

type (
	// lookForWork wakes the provisioners: a job is queued.
	lookForWork struct{}
	// tellCancel asks a provisioner to end a job.
	tellCancel struct {
		provisioner uuid.UUID
		job         store.JobAttempt
		force       bool
	}
)

func (lookForWork) action() {}
func (tellCancel) action()  {}

// Errors of steps.
var (
	// errStale is what belongs to an earlier attempt.
	errStale = errors.New("the job was given to another, or is over")
	// errCanceled is a build that is to end and may not begin.
	errCanceled = errors.New("the job was canceled")
	// ErrOver is a job that cannot be canceled any more.
	ErrOver = errors.New("it is over already")
)

// step moves a job by an event.
func step(st *store.JobState, e event) (store.Writes, []action, error) {
	j := &st.Job
	switch e := e.(type) {
	case taken:
		if j.Status != store.JobQueued {
			return store.Writes{}, nil, errStale
		}
		j.Status, j.Attempt, j.ProvisionerID = store.JobRunning, j.Attempt+1, e.provisioner
		j.HeartbeatAt, j.StartedAt = now(st), now(st)
		settle(st)
		return store.Writes{}, nil, nil
	case planned:
		return begin(st, e)
	case cancelAsked:
		return cancel(st, e)
	case forced:
		if j.Status == store.JobRunning && j.CancelRequestedAt != nil && j.CancelForcedAt == nil {
			j.CancelForcedAt = now(st)
		}
		return store.Writes{}, remind(j), nil
	case reminded:
		return store.Writes{}, remind(j), nil
	case lost:
		return lose(st, e)
	case finished:
		return finish(st, e)
	default:
		return store.Writes{}, nil, fmt.Errorf("no such event: %T", e)
	}
}

// now is the time of a step.
func now(st *store.JobState) *time.Time {
	t := st.Now
	return &t
}

func begin(st *store.JobState, e planned) (store.Writes, []action, error) {
	j := &st.Job
	switch {
	case j.Status != store.JobRunning || j.Attempt != e.attempt || st.Build == nil:
		return store.Writes{}, nil, errStale
	case j.CancelRequestedAt != nil:
		return store.Writes{}, nil, errCanceled
	}
	if err := afford(*st.Build, e.cost); err != nil {
		return store.Writes{}, nil, err
	}
	// Until it is over it may be the one or the other.
	st.Build.DailyCost = max(st.Build.DailyCost, e.cost)
	w := store.Writes{Resources: e.resources}
	if st.Build.Transition == store.Start {
		var err error
		if w.Agents, err = e.agents(*st.Build); err != nil {
			return store.Writes{}, nil, err
		}
	}
	if j.BeganAt == nil {
		j.BeganAt = now(st)
	}
	st.Build.HeldBy = j.ID
	return w, nil, nil
}

// afford returns a *store.OverQuota if a build makes its workspace cost more than its
// owner may spend. One that makes it cost no more is never in the way of that.
func afford(b store.BuildState, cost int) error {
	if b.Spent == nil || cost <= b.DailyCost {
		return nil
	}
	return b.Spent.Afford(b.TemplateCost + cost)
}

func cancel(st *store.JobState, e cancelAsked) (store.Writes, []action, error) {
	j := &st.Job
	switch {
	case j.Status.Over():
		return store.Writes{}, nil, ErrOver
	case j.Status == store.JobQueued:
		end(st, store.JobCanceled, e.why)
		return store.Writes{}, nil, nil
	case j.CancelRequestedAt == nil:
		j.CancelRequestedAt, j.Error = now(st), e.why
	}
	return store.Writes{}, remind(j), nil
}

// remind tells a job's provisioner that the job is to end, if it is.
func remind(j *store.Job) []action {
	if j.Status != store.JobRunning || j.CancelRequestedAt == nil {
		return nil
	}
	return []action{tellCancel{j.ProvisionerID, store.JobAttempt{ID: j.ID, Attempt: j.Attempt}, j.CancelForcedAt != nil}}
}

func lose(st *store.JobState, e lost) (store.Writes, []action, error) {
	j := &st.Job
	if j.Status != store.JobRunning || j.Attempt != e.attempt {
		return store.Writes{}, nil, nil
	}
	if e.seen != nil && j.HeartbeatAt != nil && j.HeartbeatAt.After(*e.seen) {
		return store.Writes{}, nil, nil
	}
	switch {
	case j.BeganAt != nil:
		end(st, store.JobFailed, e.why)
	case j.CancelRequestedAt != nil:
		end(st, store.JobCanceled, j.Error)
	case j.Attempt >= maxAttempts:
		end(st, store.JobFailed, fmt.Sprintf("%s, for the %d. time with this job", e.why, j.Attempt))
	default:
		j.Status, j.ProvisionerID, j.HeartbeatAt, j.StartedAt = store.JobQueued, uuid.Nil, nil, nil
		settle(st)
		return store.Writes{}, []action{lookForWork{}}, nil
	}
	return store.Writes{}, nil, nil
}

func finish(st *store.JobState, e finished) (store.Writes, []action, error) {
	j := &st.Job
	if j.Attempt != e.attempt || j.Status == store.JobQueued {
		return store.Writes{}, nil, errStale
	}
	if j.Status.Over() { // said again, or its provisioner had been given up
		release(st)
		return store.Writes{}, nil, nil
	}
	j.Problems = e.problems
	reason := e.err
	if e.status == store.JobCanceled && j.Error != "" {
		reason = j.Error
	}
	end(st, e.status, reason)
	release(st)
	w := store.Writes{Resources: e.resources}
	if e.status != store.JobSucceeded {
		return w, nil, nil
	}
	if st.Build != nil {
		st.Build.DailyCost = e.cost
	}
	switch {
	case st.Build == nil:
		w.Found, w.LockFile = e.found, e.lockFile
	case st.Build.Transition == store.Start:
		w.DropAgents, w.Instances = true, instances(st.Build.WorkspaceID, e.agents)
	default:
		w.LockOut = true
	}
	return w, nil, nil
}

// end gives a job its last status, and ends its build.
func end(st *store.JobState, status store.JobStatus, why string) {
	st.Job.Status, st.Job.FinishedAt, st.Job.Error = status, now(st), why
	if status == store.JobSucceeded {
		st.Job.Error = ""
	}
	if st.Build != nil {
		st.Build.FinishedAt = now(st)
	}
	settle(st)
}

// release ends that the workspace waits for the job's provisioner.
func release(st *store.JobState) {
	if st.Build != nil && st.Build.HeldBy == st.Job.ID {
		st.Build.HeldBy = uuid.Nil
	}
}

// settle gives the workspace the phase that its build's job puts it in.
func settle(st *store.JobState) {
	if st.Build != nil {
		st.Build.Phase = phaseOf(st.Build.Transition, st.Job.Status)
	}
}

// phaseOf is the phase of a workspace whose last build does this and is that far.
func phaseOf(t store.Transition, s store.JobStatus) store.Phase {
	switch {
	case s == store.JobFailed || s == store.JobCanceled:
		return store.PhaseFailed
	case t == store.Start && s == store.JobQueued:
		return store.PhasePending
	case t == store.Start && s == store.JobRunning:
		return store.PhaseStarting
	case t == store.Start:
		return store.PhaseRunning
	case t == store.Stop && s == store.JobSucceeded:
		return store.PhaseStopped
	case t == store.Stop:
		return store.PhaseStopping
	case s == store.JobSucceeded:
		return store.PhaseDeleted
	default:
		return store.PhaseDeleting
	}
}

package workspaces

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// session is one Connect stream of a provisioner. Others leave word in it; its
// stream's goroutine alone sends and takes jobs.
type session struct {
	who      store.Provisioner
	key      uuid.UUID // zero for those built in
	instance string    // of the process; "" if it does not say
	since    time.Time // by the database's clock; its stream's goroutine's alone

	look chan struct{} // has a value when there may be work
	wake chan struct{} // has a value when there is word
	over chan struct{} // closed when the stream's goroutine is done with it

	mu      sync.Mutex // guards what follows
	cancels map[uuid.UUID]*provisionerv1.Cancel
	heard   time.Time
	ended   string // why it has to end; "" while it has not
}

func newSession(who store.Provisioner, instance string) *session {
	return &session{
		who: who, key: who.KeyID, instance: instance, heard: time.Now(),
		look: make(chan struct{}, 1), wake: make(chan struct{}, 1), over: make(chan struct{}),
		cancels: make(map[uuid.UUID]*provisionerv1.Cancel),
	}
}

// isOther reports whether another session is another process's.
func (s *session) isOther(other *session) bool {
	return s.instance != "" && other.instance != "" && s.instance != other.instance
}

// hear notes that the provisioner said something.
func (s *session) hear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
}

// silence is for how long it has said nothing.
func (s *session) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.heard)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lookForWork makes it look whether there is a job for it.
func (s *session) lookForWork() { poke(s.look) }

// cancelJob makes it tell the provisioner to end a job.
func (s *session) cancelJob(job store.JobAttempt, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancels[job.ID] = &provisionerv1.Cancel{Job: refOf(job), Force: force}
	poke(s.wake)
}

// end makes it end the stream.
func (s *session) end(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == "" {
		s.ended = why
	}
	poke(s.wake)
}

// word returns what is to be said now, and why the stream is to end after it.
func (s *session) word() (downs []*provisionerv1.Down, ended string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cancels {
		downs = append(downs, &provisionerv1.Down{Msg: &provisionerv1.Down_Cancel{Cancel: c}})
	}
	clear(s.cancels)
	if s.ended != "" {
		downs = append(downs, errorDown(s.ended))
	}
	return downs, s.ended
}

func errorDown(message string) *provisionerv1.Down {
	return &provisionerv1.Down{Msg: &provisionerv1.Down_Error{Error: &provisionerv1.Error{Message: message}}}
}

func refOf(j store.JobAttempt) *provisionerv1.JobRef {
	return &provisionerv1.JobRef{Id: j.ID.String(), Attempt: uint32(j.Attempt)}
}

// attemptFrom reads what refOf wrote.
func attemptFrom(r *provisionerv1.JobRef) (store.JobAttempt, error) {
	id, err := uuid.Parse(r.GetId())
	if err != nil || r.GetAttempt() > 1<<30 {
		return store.JobAttempt{}, badInput("%.60q is no job", r.GetId())
	}
	return store.JobAttempt{ID: id, Attempt: int(r.GetAttempt())}, nil
}

func attemptsFrom(refs []*provisionerv1.JobRef) ([]store.JobAttempt, error) {
	if len(refs) > maxJobs {
		return nil, badInput("%d jobs, at most %d are allowed", len(refs), maxJobs)
	}
	list := make([]store.JobAttempt, 0, len(refs))
	for _, r := range refs {
		j, err := attemptFrom(r)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

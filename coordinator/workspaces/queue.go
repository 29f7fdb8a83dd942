package workspaces

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// queueEvery is how old what is known of the queue may be: whoever waits is told
	// within a second or two, and however many wait, the queue is read once a second.
	queueEvery = time.Second

	// tellEvery is how often who waits is looked after. With queueEvery it makes a
	// second and a half at most.
	tellEvery = queueEvery / 2

	// maxNear is how many of a job's tags are compared with others' for their
	// spelling. More than a few are wrong in another way.
	maxNear = 8
)

// Wait is why a queued job has not begun.
type Wait struct {
	// Position is its place among those that wait for the same provisioners, from 1
	// on; zero if there are none.
	Position int
	// Stuck is that it will not begin by itself: nobody who is there takes it.
	Stuck bool
	// Message says so; empty if it is about to be taken.
	Message string
}

// queue is what was last known of the jobs that wait and who takes them.
type queue struct {
	mu    sync.Mutex // guards what follows, and is held while it is read anew
	at    time.Time  // by our own clock
	now   time.Time  // by the database's
	jobs  []store.QueuedJob
	fleet []store.Provisioner
}

// Wait says why a job has not begun; nothing if it has.
func (s *Service) Wait(ctx context.Context, j store.Job) (Wait, error) {
	if j.Status != store.JobQueued {
		return Wait{}, nil
	}
	return s.wait(ctx, j)
}

// wait is Wait for a job that may be queued by now, or not any more.
func (s *Service) wait(ctx context.Context, j store.Job) (Wait, error) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.at) >= queueEvery || !q.now.After(j.CreatedAt) {
		jobs, fleet, now, err := s.store.Queue(ctx)
		if err != nil {
			return Wait{}, err
		}
		q.at, q.now, q.jobs, q.fleet = time.Now(), now, jobs, fleet
	}
	i := slices.IndexFunc(q.jobs, func(o store.QueuedJob) bool { return o.ID == j.ID })
	if i < 0 {
		return Wait{}, nil
	}
	return waitOf(q.jobs[i], q.jobs[:i], q.fleet, q.now, s.cfg.Lease), nil
}

// FollowWait gives f why a queued job has not begun, now and whenever that changes,
// until ctx is done or f fails.
func (s *Service) FollowWait(ctx context.Context, j store.Job, f func(Wait) error) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	var said Wait
	for {
		w, err := s.wait(ctx, j)
		switch {
		case err != nil:
			s.log.DebugContext(ctx, "the queue is not known for now", "err", err)
		case w != said:
			if said = w; w.Message == "" {
				break // its log goes on
			}
			if err := f(w); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// waitOf says why a queued job has not begun, given the jobs that were queued before
// it and all provisioners.
func waitOf(j store.QueuedJob, ahead []store.QueuedJob, fleet []store.Provisioner, now time.Time, lease time.Duration) Wait {
	var ours, fit, here, open []store.Provisioner
	for _, p := range fleet {
		if p.KeyID != uuid.Nil && p.OrganizationID != j.OrganizationID {
			continue // whatever its tags are, it is nothing to this job
		}
		ours = append(ours, p)
		if !takes(p, j) {
			continue
		}
		fit = append(fit, p)
		if !isHere(p, now, lease) {
			continue
		}
		here = append(here, p)
		if !p.Draining {
			open = append(open, p)
		}
	}
	tags := tagList(j.Tags)
	switch {
	case len(ours) == 0:
		return stuck("there is no provisioner; one that is run with 'adit provisioner'%s takes it", flags(j.Tags))
	case len(fit) == 0:
		return stuck("no provisioner has the tags %s; the nearest there is has %s", tags, tagList(nearest(j.Tags, ours).Tags))
	case len(here) == 0:
		last := slices.MaxFunc(fit, func(a, b store.Provisioner) int { return a.LastSeenAt.Compare(b.LastSeenAt) })
		return stuck("no provisioner that takes it is connected%s; one was last seen %v ago", withTags(tags), now.Sub(last.LastSeenAt).Round(time.Second))
	case len(open) == 0:
		return stuck("every provisioner that takes it is about to stop%s", withTags(tags))
	}
	w := Wait{Position: 1}
	for _, o := range ahead {
		if slices.ContainsFunc(open, func(p store.Provisioner) bool {
			return (p.KeyID == uuid.Nil || p.OrganizationID == o.OrganizationID) && takes(p, o)
		}) {
			w.Position++
		}
	}
	slots, free := 0, 0
	for _, p := range open {
		slots += p.Slots
		free += max(0, p.Slots-p.Running)
	}
	if free < w.Position {
		w.Message = fmt.Sprintf("number %d in the queue: %d of %d slots of the provisioners that take it are busy%s", w.Position, slots-free, slots, withTags(tags))
	}
	return w
}

func stuck(format string, args ...any) Wait {
	return Wait{Stuck: true, Message: fmt.Sprintf(format, args...)}
}

// takes reports whether a provisioner has all tags of a job.
func takes(p store.Provisioner, j store.QueuedJob) bool {
	for k, v := range j.Tags {
		if has, ok := p.Tags[k]; !ok || has != v {
			return false
		}
	}
	return true
}

// isHere reports whether a provisioner is connected, to any coordinator.
func isHere(p store.Provisioner, now time.Time, lease time.Duration) bool {
	return p.LeftAt == nil && now.Sub(p.LastSeenAt) < lease
}

// nearest returns the provisioner whose tags are most like those wanted.
func nearest(want map[string]string, fleet []store.Provisioner) store.Provisioner {
	return slices.MinFunc(fleet, func(a, b store.Provisioner) int {
		if d := distance(want, a.Tags) - distance(want, b.Tags); d != 0 {
			return d
		}
		return strings.Compare(tagList(a.Tags), tagList(b.Tags))
	})
}

// distance is how many letters have to change for tags to be among others.
func distance(want, has map[string]string) int {
	sum, compared := 0, 0
	for _, k := range slices.Sorted(maps.Keys(want)) {
		text := k + "=" + want[k]
		if v, ok := has[k]; ok && v == want[k] {
			continue
		}
		if compared++; compared > maxNear {
			break
		}
		least := len(text)
		for hk, hv := range has {
			least = min(least, edits(text, hk+"="+hv))
		}
		sum += least
	}
	return sum
}

// edits is how many bytes of a text have to be put in, taken out or changed to make
// another of it.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// tagList writes tags for people.
func tagList(tags map[string]string) string {
	if len(tags) == 0 {
		return "none"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, k+"="+tags[k])
	}
	return strings.Join(parts, ", ")
}

// withTags adds which tags are wanted, if any are.
func withTags(list string) string {
	if list == "none" {
		return ""
	}
	return " (tags " + list + ")"
}

// flags are the flags that give a provisioner tags.
func flags(tags map[string]string) string {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		fmt.Fprintf(&text, " --tag %s=%s", k, tags[k])
	}
	return text.String()
}

// Jobs lists the jobs of some organizations' templates, the newest first.
func (s *Service) Jobs(ctx context.Context, of store.Scope, status store.JobStatus, p store.Page) ([]store.ListedJob, error) {
	return s.store.Jobs(ctx, of, status, p)
}

package workspaces

import (
	"fmt"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

// limits are how long things may take.
type limits struct{ lease, grace, timeout time.Duration }

// due says what has to happen to a job that is running, if anything: nobody
// asks for it but time. here is since when heartbeats could have been noted;
// what was not noted before is no fault of the provisioner's.
//
// A canceled job's provisioner is reminded each time, for it may have returned
// since, or the coordinator may have been killed before it could say so.
func due(j store.Job, now, here time.Time, l limits) event {
	if j.Status != store.JobRunning {
		return nil
	}
	seen := here
	if j.HeartbeatAt != nil && j.HeartbeatAt.After(here) {
		seen = *j.HeartbeatAt
	}
	switch {
	case now.Sub(seen) >= l.lease:
		return lost{attempt: j.Attempt, seen: &seen, why: fmt.Sprintf("its provisioner is gone: nothing was heard of it for %v", l.lease)}
	case j.CancelForcedAt != nil && now.Sub(*j.CancelForcedAt) >= l.grace:
		return lost{attempt: j.Attempt, why: fmt.Sprintf("its provisioner did not end it within %v of being told to kill it", l.grace)}
	case j.CancelForcedAt == nil && j.CancelRequestedAt != nil && now.Sub(*j.CancelRequestedAt) >= l.grace:
		return forced{}
	case j.CancelRequestedAt != nil:
		return reminded{}
	case j.StartedAt != nil && now.Sub(*j.StartedAt) >= l.timeout:
		return cancelAsked{why: fmt.Sprintf("it took longer than %v", l.timeout)}
	default:
		return nil
	}
}

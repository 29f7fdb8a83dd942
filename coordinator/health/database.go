package health

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// slowDatabase is when an empty question takes too long: a request asks
	// several, and is to take 50 ms.
	slowDatabase = 100 * time.Millisecond

	// skewed is when the clocks of coordinator and database are too far apart
	// for times in one list to be in order, and badlySkewed when tokens and
	// leases end at the wrong time.
	skewed, badlySkewed = 2 * time.Second, 30 * time.Second

	// waitingLong is how long a job may wait before somebody should know.
	waitingLong = 2 * time.Minute

	// noProvisionerAfter spares provisioners that are being restarted.
	noProvisionerAfter = 15 * time.Second

	// failingLong is how often in a row a prepared workspace may fail before it is an
	// error: by then it has for five minutes.
	failingLong = 5

	// Agents lost are a warning from the first, and an error from this share and
	// number on: then it is no laptop that was closed.
	lostShare, lostMany = 0.5, 10
)

// database checks that the database answers, how fast, and what time it has.
func (c *Checker) database(ctx context.Context) found {
	began := time.Now()
	theirs, err := c.cfg.Store.Now(ctx)
	took := time.Since(began)
	if err != nil {
		return found{failure(DatabaseUnreachable, "start Postgres, or see that this host reaches it (--postgres-url)", "%v", err)}
	}
	// The first question may have made a connection, or waited for one.
	began = time.Now()
	if err := c.cfg.Store.Ping(ctx); err == nil {
		took = min(took, time.Since(began))
	}
	var list found
	if took > slowDatabase {
		list = append(list, warning(DatabaseSlow, "give Postgres more CPU or a faster disk, or move it nearer to the coordinator",
			"an empty question took %v, over %v", took.Round(time.Millisecond), slowDatabase))
	}
	if p := c.cfg.Store.PoolStats(); p.Busy >= p.Max {
		list = append(list, warning(DatabaseBusy, "see what Postgres is at (pg_stat_activity); adit_database_wait_seconds_total says how long calls wait",
			"all %d connections to the database are in use", p.Max))
	}
	if skew := theirs.Sub(began).Abs(); skew > skewed+took {
		f := warning(ClockSkew, "run an NTP client on both hosts", "the database's clock and the coordinator's are %v apart", skew.Round(100*time.Millisecond))
		if skew > badlySkewed {
			f.Severity = failure("", "", "").Severity
		}
		list = append(list, f)
	}
	return list
}

// jobs checks that jobs find their provisioners, and that those which nobody asks for
// succeed.
func (c *Checker) jobs(ctx context.Context) found {
	queued, err := c.cfg.Store.QueuedByTags(ctx)
	if err != nil {
		return nil // the database has its own finding
	}
	var list found
	for _, q := range queued {
		age := time.Since(q.Oldest)
		switch {
		case !q.Served && age > noProvisionerAfter:
			fix := "run a provisioner that has them: adit provisioner " + tagFlags(q.Tags)
			if len(q.Tags) == 0 {
				fix = "run a provisioner: adit provisioner, or adit server --provisioners 2"
			}
			list = append(list, failure(NoProvisioner, fix, "%s, the oldest for %v; no provisioner with the tags %s was seen within a minute",
				waiting(q.Jobs), age.Round(time.Second), tagText(q.Tags)))
		case q.Served && age > waitingLong:
			list = append(list, warning(JobsWaiting, "run more provisioners, or give those there are more --slots",
				"%s for provisioners with the tags %s, the oldest for %v", waiting(q.Jobs), tagText(q.Tags), age.Round(time.Second)))
		}
	}
	pools, err := c.cfg.Store.FailingPools(ctx)
	if err != nil {
		return list
	}
	for _, p := range pools {
		f := warning(PreparedFail, "see what the builds say, and push a version that mends it: adit provisioners jobs --status failed",
			"no workspace of template %s/%s could be prepared, %d times in a row: %s", p.Organization, p.Template, p.Failures, p.Problem)
		if p.Failures >= failingLong {
			f.Severity = failure("", "", "").Severity
		}
		list = append(list, f)
	}
	return list
}

func waiting(jobs int64) string {
	if jobs == 1 {
		return "1 job waits"
	}
	return fmt.Sprintf("%d jobs wait", jobs)
}

func tagText(tags map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, k+"="+tags[k])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func tagFlags(tags map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, "--tag "+k+"="+tags[k])
	}
	return strings.Join(parts, " ")
}

// agents checks that the agents of running workspaces are there.
func (c *Checker) agents(ctx context.Context) found {
	counts, err := c.cfg.Store.AgentCounts(ctx)
	lost := counts[store.AgentTimeout]
	if err != nil || lost == 0 {
		return nil
	}
	var names []string
	if agents, err := c.cfg.Store.LostAgents(ctx); err == nil {
		for _, a := range agents {
			names = append(names, a.Owner+"/"+a.Workspace+"."+a.Agent)
		}
	}
	total := lost + counts[store.AgentConnected]
	f := warning(AgentsLost, "see that their hosts run and reach the coordinator: adit agent logs why it cannot; restart the workspaces else",
		"%d of %d agents that joined were lost, last: %s", lost, total, strings.Join(names, ", "))
	if lost >= lostMany && float64(lost) >= lostShare*float64(total) {
		f.Severity = failure("", "", "").Severity
	}
	return found{f}
}

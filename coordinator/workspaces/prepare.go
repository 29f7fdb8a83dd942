package workspaces

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// Workspaces that a template keeps ready are made by nobody and claimed by somebody:
//
//	           start               agents connected, scripts done
//	(missing) ───────▶ coming ─────────────────────────────────▶ ready ──claimed──▶ somebody's
//	    ▲                │ failed, or silent                       │
//	    │                ▼                                         │ of an old version, or too many
//	    └───deleted── to go ◀──────────────────────────────────────┘
//
// What is stored says where each is, so that a coordinator that was killed has
// nothing to remember: the next look, its own or another's, goes on.

const (
	// prepareEvery is how often pools are looked after without anything that happened.
	prepareEvery = 5 * time.Second

	// makeAtOnce is how many workspaces of a pool begin at one look: people's builds
	// wait in the same queue.
	makeAtOnce = 4

	// A pool that fails is tried again after a pause that doubles: a template that is
	// broken costs an attempt an hour, and one that a cloud refused for a moment is
	// tried again while that is still of use.
	failPauseMin = 10 * time.Second
	failPauseMax = time.Hour

	// silentFor is how long agents of a prepared workspace may be away before it is
	// replaced. Hosts that are started again take some minutes.
	silentFor = 10 * time.Minute

	// maxPool bounds a pool.
	maxPool = 100
)

// Reasons of builds of prepared workspaces.
const (
	reasonPrepared = "prepared"
	reasonClaimed  = "claimed"
	reasonReplaced = "replaced"
)

// poolStep is what a pool needs now.
type poolStep struct {
	make int
	// drop are workspaces to delete, and problem why the first of those that failed
	// did; empty if none has.
	drop    []uuid.UUID
	problem string
	// well is that one is ready after others had failed.
	well bool
}

// prepare says what a pool needs. values are the parameters of its workspaces.
func prepare(p store.Pool, members []store.Prepared, values map[string]string, now time.Time) poolStep {
	var s poolStep
	ready, coming := 0, 0
	want := wanted(p, now)
	for _, m := range members {
		why := failure(m, now)
		switch {
		case m.Held: // its provisioner may be back
			coming++
		case m.FinishedAt == nil:
			if m.Transition == store.Start && fresh(m, p, values) {
				coming++
			}
		case m.Transition == store.Delete: // which failed
			if now.Sub(*m.FinishedAt) >= pause(m.Number-1) {
				s.drop = append(s.drop, m.ID)
				s.fail("one could not be deleted: " + m.Error)
			}
		case why != "":
			s.drop = append(s.drop, m.ID)
			s.fail(why)
		case !fresh(m, p, values) || ready+coming >= want:
			s.drop = append(s.drop, m.ID)
		case isReady(m):
			ready++
		default:
			coming++
		}
	}
	s.well = ready > 0 && p.Failures > 0 && s.problem == ""
	switch missing := want - ready - coming; {
	case missing <= 0 || s.problem != "":
	case p.Failures == 0 || s.well:
		s.make = min(missing, makeAtOnce)
	case coming == 0 && (p.FailedAt == nil || now.Sub(*p.FailedAt) >= pause(p.Failures)):
		s.make = 1 // and see
	}
	return s
}

func (s *poolStep) fail(why string) {
	if s.problem == "" {
		s.problem = why
	}
}

// wanted is how many are to be there now.
func wanted(p store.Pool, now time.Time) int {
	if p.VersionID == uuid.Nil {
		return 0 // nothing to make them of
	}
	if p.Schedule == "" {
		return p.Size
	}
	w, err := ParseWindow(p.Schedule)
	if err != nil || !w.Open(now) {
		return 0 // none was kept that cannot be read
	}
	return p.Size
}

// fresh reports whether a workspace is what one that is made now would be.
func fresh(m store.Prepared, p store.Pool, values map[string]string) bool {
	return m.VersionID == p.VersionID && maps.Equal(m.Parameters, values)
}

// failure says what went wrong with a workspace; "" while nothing has.
func failure(m store.Prepared, now time.Time) string {
	if m.Phase == store.PhaseFailed {
		return strings.TrimSuffix("its build failed: "+m.Error, ": ")
	}
	if m.FinishedAt == nil || m.Phase != store.PhaseRunning {
		return ""
	}
	for _, a := range m.Agents {
		since := *m.FinishedAt
		if a.DisconnectedAt != nil {
			since = later(since, *a.DisconnectedAt)
		}
		switch {
		case a.State != store.AgentConnected && now.Sub(since) >= silentFor:
			return fmt.Sprintf("its agent %s is not connected (%s)", a.Name, a.State)
		case a.State == store.AgentConnected && (a.ScriptsState == store.ScriptsFailed || a.ScriptsState == store.ScriptsTimeout):
			return fmt.Sprintf("startup scripts of its agent %s: %s", a.Name, a.ScriptsState)
		}
	}
	return ""
}

// isReady reports whether a workspace can be claimed: it runs, its agents are there,
// and have done what they do at their start.
func isReady(m store.Prepared) bool {
	if m.Phase != store.PhaseRunning || m.Held || m.FinishedAt == nil || m.Transition != store.Start {
		return false
	}
	for _, a := range m.Agents {
		if a.State != store.AgentConnected || a.ScriptsState != store.ScriptsSucceeded && (a.ScriptsState != store.ScriptsNone || startsScripts(a)) {
			return false
		}
	}
	return len(m.Agents) > 0
}

// startsScripts reports whether an agent has something to do at its start. One whose
// manifest cannot be read may.
func startsScripts(a store.Agent) bool {
	m := new(provisionerv1.Agent)
	if a.Manifest == nil {
		return false
	}
	if err := lenient.Unmarshal(a.Manifest, m); err != nil {
		return true
	}
	for _, s := range m.GetScripts() {
		if s.GetRunOn() == "start" {
			return true
		}
	}
	return len(m.GetRepositories()) > 0
}

// pause is how long a pool waits after so many failures in a row.
func pause(failures int) time.Duration {
	d := failPauseMin
	for range failures - 1 {
		if d *= 2; d >= failPauseMax {
			return failPauseMax
		}
	}
	return d
}

// prepareAll looks after all pools, until ctx is done.
func (s *Service) prepareAll(ctx context.Context) {
	tick := time.NewTicker(prepareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.pools:
		}
		list, _, err := s.store.Pools(ctx)
		if err != nil {
			s.log.DebugContext(ctx, "pools are not looked after for now", "err", err)
			continue
		}
		var all PoolCounts
		for _, p := range list {
			if err := s.prepareOne(ctx, p, &all); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "a pool could not be looked after; it will be tried again", "template", p.Template, "err", err)
			}
		}
		s.poolCounts.Store(&all)
	}
}

// PoolCounts are all pools as they were last looked at.
type PoolCounts struct {
	// Wanted is how many prepared workspaces there are to be now, Ready how many can be
	// claimed, and Building how many are about to be ready.
	Wanted, Ready, Building int
	// Well and Failing are how many pools can be filled, and how many could not when that
	// was last tried.
	Well, Failing int
	// Failures is how often in a row the worst of them could not, and BackOff how long it
	// waits before it tries again.
	Failures int
	BackOff  time.Duration
}

// add adds a pool that is to have so many workspaces.
func (c *PoolCounts) add(p store.Pool, members []store.Prepared, wanted int) {
	if p.Size == 0 {
		return // what there was of it goes
	}
	ready, coming := tally(p, members)
	c.Wanted, c.Ready, c.Building = c.Wanted+wanted, c.Ready+ready, c.Building+coming
	if p.Failures == 0 {
		c.Well++
		return
	}
	c.Failing++
	if p.Failures > c.Failures {
		c.Failures, c.BackOff = p.Failures, pause(p.Failures)
	}
}

// PoolCounts returns how all pools were when this coordinator last looked at them, which
// is some seconds ago.
func (s *Service) PoolCounts() PoolCounts {
	if c := s.poolCounts.Load(); c != nil {
		return *c
	}
	return PoolCounts{}
}

// prepareOne does what a pool needs, and counts it among all.
func (s *Service) prepareOne(ctx context.Context, p store.Pool, all *PoolCounts) error {
	values, problem, err := s.preparedValues(ctx, p)
	if err != nil {
		return err
	}
	version := p.VersionID
	did, err := s.store.StepPool(ctx, p.TemplateID, func(p store.Pool, members []store.Prepared, now time.Time) store.PoolStep {
		if p.VersionID != version {
			return store.PoolStep{} // it has changed since: the next look
		}
		at := s.cfg.ScheduleClock(now)
		all.add(p, members, wanted(p, at))
		step := prepare(p, members, values, at)
		out := store.PoolStep{Make: make(map[string]store.NewBuild), Delete: make(map[uuid.UUID]store.NewBuild), Problem: step.problem, Well: step.well}
		if step.make > 0 && problem != "" {
			step.make, out.Problem = 0, problem
		}
		for range step.make {
			out.Make[preparedName(p.Template)] = newBuild(store.Start, version, values, store.Nobody, reasonPrepared)
		}
		for _, m := range members {
			for _, id := range step.drop {
				if id == m.ID {
					out.Delete[id] = newBuild(store.Delete, m.VersionID, m.Parameters, store.Nobody, reasonReplaced)
				}
			}
		}
		return out
	})
	if err != nil {
		return err
	}
	if n, gone := len(did.Make), len(did.Delete); n+gone > 0 {
		s.log.InfoContext(ctx, "pool looked after", "template", p.Template, "made", n, "deleted", gone, "problem", did.Problem)
		s.act(lookForWork{})
	}
	return nil
}

// preparedValues returns the parameters of a pool's workspaces, or what is wrong with
// them.
func (s *Service) preparedValues(ctx context.Context, p store.Pool) (values map[string]string, problem string, err error) {
	if p.VersionID == uuid.Nil {
		return nil, "", nil
	}
	found, err := s.usableVersion(ctx, p.TemplateID, p.VersionID)
	if err == nil {
		values, err = resolve(found.GetParameters(), nil, p.Parameters)
	}
	var bad *BadInput
	if errors.As(err, &bad) {
		return nil, bad.Reason, nil
	}
	return values, "", err
}

// preparedName is what a workspace is called before it is claimed.
func preparedName(template string) string {
	raw := make([]byte, 4)
	rand.Read(raw)
	return strings.TrimRight(template[:min(len(template), 23)], "-") + "-" + hex.EncodeToString(raw)
}

// claim gives somebody a workspace that is prepared, if there is one that fits what
// they want; else it is store.ErrNotFound.
func (s *Service) claim(ctx context.Context, c Create, versionID uuid.UUID, found *provisionerv1.Template) (store.Workspace, store.Build, error) {
	w, b, err := s.store.ClaimPrepared(ctx, store.Claimer{OwnerID: c.OwnerID, TemplateID: c.TemplateID, Name: c.Name}, func(m store.Prepared, secret []byte) (store.NewBuild, bool) {
		if m.VersionID != versionID || !isReady(m) {
			return store.NewBuild{}, false
		}
		return claimBuild(m, secret, found, c)
	})
	if err != nil {
		return w, b, err
	}
	poke(s.pools) // another takes its place
	s.act(lookForWork{})
	s.log.InfoContext(ctx, "prepared workspace claimed", "workspace", w.ID, "name", w.Name, "owner", w.OwnerName)
	return w, b, nil
}

// claimBuild is the build that makes a prepared workspace its claimer's; false if it
// cannot be what they want. Agents keep their tokens, so that they go on while it
// runs; and where nothing would change it is over before it begins.
func claimBuild(m store.Prepared, secret []byte, found *provisionerv1.Template, c Create) (store.NewBuild, bool) {
	want, err := resolve(found.GetParameters(), nil, c.Parameters)
	if err != nil {
		return store.NewBuild{}, false
	}
	for _, p := range found.GetParameters() {
		if !p.GetMutable() && m.Parameters[p.GetName()] != want[p.GetName()] {
			return store.NewBuild{}, false
		}
	}
	b := newBuild(store.Start, m.VersionID, want, c.InitiatorID, reasonClaimed)
	b.AgentSecret = secret
	if found.GetImpersonal() && maps.Equal(m.Parameters, want) {
		b.Phase = store.PhaseRunning
	}
	return b, true
}

// tally counts the workspaces of a pool that can be claimed, and those that will be.
func tally(p store.Pool, members []store.Prepared) (ready, coming int) {
	for _, m := range members {
		switch {
		case m.VersionID != p.VersionID || m.Transition != store.Start:
		case isReady(m):
			ready++
		case m.Phase != store.PhaseFailed:
			coming++
		}
	}
	return ready, coming
}

// PoolState is a template's pool, and how it is.
type PoolState struct {
	store.Pool
	// Ready and Coming are how many can be claimed, and how many will be able to.
	Ready, Coming int
	// RetryAt is when a pool that failed is tried again; zero if it has not.
	RetryAt time.Time
}

// PoolOf returns a template's pool; one of none if it has none.
func (s *Service) PoolOf(ctx context.Context, templateID uuid.UUID) (PoolState, error) {
	p, members, err := s.store.Pool(ctx, templateID)
	if errors.Is(err, store.ErrNotFound) {
		return PoolState{}, nil
	}
	st := PoolState{Pool: p}
	st.Ready, st.Coming = tally(p, members)
	if p.FailedAt != nil {
		st.RetryAt = p.FailedAt.Add(pause(p.Failures))
	}
	return st, err
}

// SetPool says how many workspaces of a template are kept ready. A *[BadInput] says
// what is wrong with it.
func (s *Service) SetPool(ctx context.Context, p store.Pool, at store.Versions) error {
	if p.Size < 0 || p.Size > maxPool {
		return badInput("%d prepared workspaces; up to %d are kept ready", p.Size, maxPool)
	}
	if p.Schedule != "" {
		w, err := ParseWindow(p.Schedule)
		if err != nil {
			return err
		}
		p.Schedule = w.String()
	}
	if p.Size > 0 {
		version, err := s.activeVersion(ctx, p.TemplateID)
		if err != nil {
			return err
		}
		p.VersionID = version
		if _, problem, err := s.preparedValues(ctx, p); err != nil || problem != "" {
			if problem != "" {
				err = badInput("%s (of the workspaces that are prepared: --prepared-parameter)", problem)
			}
			return err
		}
	}
	if err := s.store.SetPool(ctx, p, at); err != nil {
		return err
	}
	poke(s.pools)
	return nil
}

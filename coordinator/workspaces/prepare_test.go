package workspaces

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

// fill runs a script on a pool: what happens to it, and after "=>" what it needs then,
// which is done. Workspaces are called by the order in which they were made; "+5m" lets
// time pass.
type fill struct {
	t       *testing.T
	pool    store.Pool
	values  map[string]string
	now     time.Time
	members []*store.Prepared
	names   map[uuid.UUID]string
	made    int
}

func newFill(t *testing.T, size int) *fill {
	return &fill{
		t: t, now: epoch, names: make(map[uuid.UUID]string), values: map[string]string{"cpu": "2"},
		pool: store.Pool{TemplateID: uuid.New(), VersionID: uuid.New(), Size: size},
	}
}

func (f *fill) play(script string) {
	f.t.Helper()
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		said, want, ok := strings.Cut(line, "=>")
		for _, word := range strings.Fields(said) {
			f.happens(word)
		}
		if !ok {
			continue
		}
		if got, want := f.look(), strings.Join(strings.Fields(want), " "); got != want {
			f.t.Fatalf("line %d, %s: it needs %q, want %q", n+1, strings.TrimSpace(said), got, want)
		}
	}
}

func (f *fill) happens(word string) {
	f.t.Helper()
	if d, err := time.ParseDuration(strings.TrimPrefix(word, "+")); err == nil {
		f.now = f.now.Add(d)
		return
	}
	what, who, _ := strings.Cut(word, ":")
	now := f.now
	switch what {
	case "push":
		f.pool.VersionID = uuid.New()
		return
	case "size":
		_, err := fmt.Sscan(who, &f.pool.Size)
		must(f.t, err)
		return
	case "schedule":
		f.pool.Schedule = strings.ReplaceAll(who, "_", " ")
		return
	case "cpu":
		f.values = map[string]string{"cpu": who}
		return
	}
	i := slices.IndexFunc(f.members, func(m *store.Prepared) bool { return f.names[m.ID] == who })
	if i < 0 {
		f.t.Fatalf("%s: there is no workspace %q", word, who)
	}
	m := f.members[i]
	switch what {
	case "built": // or deleted
		m.FinishedAt = &now
		if m.Transition == store.Delete {
			f.members = slices.Delete(f.members, i, i+1)
			return
		}
		m.Phase = store.PhaseRunning
		m.Agents = []store.Agent{{Name: "main", State: store.AgentConnecting, ScriptsState: store.ScriptsRunning}}
	case "failed":
		m.FinishedAt, m.Phase = &now, store.PhaseFailed
	case "connected":
		m.Agents[0].State, m.Agents[0].DisconnectedAt = store.AgentConnected, nil
	case "silent":
		m.Agents[0].State, m.Agents[0].DisconnectedAt = store.AgentTimeout, &now
	case "ready":
		m.Agents[0].State, m.Agents[0].ScriptsState = store.AgentConnected, store.ScriptsSucceeded
	case "scripts-failed":
		m.Agents[0].ScriptsState = store.ScriptsFailed
	case "held":
		m.Held = true
	case "claimed":
		if !isReady(*m) {
			f.t.Fatalf("%s cannot be claimed", who)
		}
		f.members = slices.Delete(f.members, i, i+1)
	default:
		f.t.Fatalf("nothing is called %q", what)
	}
}

// look does what the pool needs, and says it.
func (f *fill) look() string {
	members := make([]store.Prepared, 0, len(f.members))
	for _, m := range f.members {
		members = append(members, *m)
	}
	s := prepare(f.pool, members, f.values, f.now)
	var did []string
	for _, m := range f.members {
		if slices.Contains(s.drop, m.ID) {
			did = append(did, "delete:"+f.names[m.ID])
			m.Transition, m.Phase, m.FinishedAt, m.BuiltAt, m.Number = store.Delete, store.PhaseDeleting, nil, f.now, m.Number+1
		}
	}
	if s.well {
		did = append(did, "well")
		f.pool.Failures, f.pool.FailedAt, f.pool.Problem = 0, nil, ""
	}
	if s.problem != "" {
		now := f.now
		f.pool.Failures, f.pool.FailedAt, f.pool.Problem = f.pool.Failures+1, &now, s.problem
		did = append(did, fmt.Sprintf("failure-%d", f.pool.Failures))
	}
	for range s.make {
		f.made++
		m := &store.Prepared{
			ID: uuid.New(), Phase: store.PhasePending, Transition: store.Start, VersionID: f.pool.VersionID, Parameters: f.values, Number: 1, BuiltAt: f.now,
		}
		f.names[m.ID] = fmt.Sprint(f.made)
		f.members = append(f.members, m)
		did = append(did, "make:"+f.names[m.ID])
	}
	return strings.Join(did, " ")
}

func TestAPoolIsFilledAndRefilled(t *testing.T) {
	newFill(t, 2).play(`
		               => make:1 make:2
		               =>
		built:1        =>
		connected:1    =>
		ready:1 built:2 ready:2 =>
		claimed:1      => make:3
		claimed:2      => make:4
		built:3 built:4 +1h ready:3 ready:4 =>
	`)
}

func TestNotAllOfALargePoolBeginsAtOnce(t *testing.T) {
	newFill(t, 6).play(`
		=> make:1 make:2 make:3 make:4
		=> make:5 make:6
		=>
	`)
}

func TestWhatIsOfAnotherVersionIsReplaced(t *testing.T) {
	newFill(t, 2).play(`
		                     => make:1 make:2
		built:1 ready:1 push => delete:1 make:3 make:4
		built:2              => delete:2
		built:1 built:2 built:3 built:4 ready:3 ready:4 =>
		cpu:4                => delete:3 delete:4 make:5 make:6
	`)
}

func TestFewerAreWanted(t *testing.T) {
	newFill(t, 3).play(`
		        => make:1 make:2 make:3
		built:1 built:2 ready:1 ready:2 size:1 => delete:2
		built:3 => delete:3
		built:2 built:3 =>
		size:0  => delete:1
		built:1 =>
	`)
}

// The epoch is a Tuesday, at midnight.
func TestTheyAreThereInTime(t *testing.T) {
	newFill(t, 1).play(`
		schedule:mon-fri_07:00-19:00_UTC =>
		+6h                     =>
		+1h                     => make:1
		built:1 ready:1 +11h59m =>
		+1m                     => delete:1
		built:1 +5h             =>
	`)
}

func TestAPoolWhoseBuildFailsForEverMakesNoStorm(t *testing.T) {
	f := newFill(t, 3)
	f.play(`
		=> make:1 make:2 make:3
		failed:1 => delete:1 failure-1
		failed:2 => delete:2 failure-2
		failed:3 built:1 => delete:3 failure-3
		built:2 built:3 =>
		+39s =>
		+1s  => make:4
		+1h  =>
		failed:4 => delete:4 failure-4
		built:4 +79s =>
		+1s => make:5
	`)
	// A day of it: one at a time, and at last one an hour.
	made := f.made
	for end := f.now.Add(24 * time.Hour); f.now.Before(end); f.happens("+5s") {
		f.look()
		for _, m := range slices.Clone(f.members) {
			if m.Transition == store.Start {
				f.happens("failed:" + f.names[m.ID])
			} else {
				f.happens("built:" + f.names[m.ID])
			}
		}
	}
	if n := f.made - made; n < 20 || n > 35 {
		t.Errorf("in a day of failures %d were made", n)
	}
	// It is mended: one first, and then all.
	f.pool.FailedAt = nil
	f.play("=> make:" + fmt.Sprint(f.made+1))
	last := fmt.Sprint(f.made)
	f.play(fmt.Sprintf("built:%s ready:%s => well make:%d make:%d", last, last, f.made+1, f.made+2))
}

func TestWhatCannotBeReadyIsReplaced(t *testing.T) {
	newFill(t, 1).play(`
		=> make:1
		built:1 +9m =>
		+1m => delete:1 failure-1
		built:1 +10s => make:2
		built:2 connected:2 scripts-failed:2 => delete:2 failure-2
		built:2 +20s => make:3
		built:3 ready:3 => well
		+1h silent:3 =>
		+9m connected:3 =>
		silent:3 +10m => delete:3 failure-1
	`)
}

func TestWhatCannotBeDeletedIsTriedAgain(t *testing.T) {
	newFill(t, 1).play(`
		=> make:1
		failed:1 => delete:1 failure-1
		failed:1 +9s =>
		+1s => delete:1 failure-2
		failed:1 +19s =>
		+1s => delete:1 failure-3
		built:1 +40s => make:2
	`)
}

func TestALostProvisionerMayComeBack(t *testing.T) {
	newFill(t, 1).play(`
		=> make:1
		failed:1 held:1 =>
		+1h =>
	`)
}

func TestAfterManyFailuresThePauseIsAnHour(t *testing.T) {
	if got := pause(1000); got != failPauseMax {
		t.Error(got)
	}
	if got := pause(0); got != failPauseMin {
		t.Error(got)
	}
}

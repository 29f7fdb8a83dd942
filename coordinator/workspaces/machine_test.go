package workspaces

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
)

var (
	epoch    = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	testJob  = uuid.MustParse("10000000-0000-4000-8000-000000000001")
	provider = uuid.MustParse("20000000-0000-4000-8000-000000000002")
)

var testLimits = limits{lease: 30 * time.Second, grace: time.Minute, timeout: time.Hour}

// play runs a script on a new build's job: events by name, and after "=>" what
// the state has to be. "+30s" lets time pass, after which what is due happens.
func play(t *testing.T, transition store.Transition, script string) {
	t.Helper()
	st := &store.JobState{
		Job:   store.Job{ID: testJob, BuildID: uuid.New(), Status: store.JobQueued},
		Build: &store.BuildState{ID: uuid.New(), Transition: transition, Phase: phaseOf(transition, store.JobQueued)},
		Now:   epoch,
	}
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		said, want, _ := strings.Cut(line, "=>")
		var got []string
		for _, word := range strings.Fields(said) {
			e := eventOf(t, st, word)
			if e == nil {
				continue
			}
			// A step that fails is rolled back.
			job, build := st.Job, *st.Build
			_, actions, err := step(st, e)
			if err != nil {
				st.Job, *st.Build = job, build
				got = append(got, "refused")
			}
			for _, a := range actions {
				got = append(got, strings.TrimPrefix(fmt.Sprintf("%T", a), "workspaces."))
				if c, ok := a.(tellCancel); ok && c.force {
					got = append(got, "force")
				}
			}
		}
		got = append(got, string(st.Job.Status), string(st.Build.Phase))
		if st.Build.HeldBy != uuid.Nil {
			got = append(got, "held")
		}
		if st.Build.FinishedAt != nil {
			got = append(got, "over")
		}
		if got, want := strings.Join(got, " "), strings.Join(strings.Fields(want), " "); got != want {
			t.Fatalf("line %d, %s: %s, want %s", n+1, strings.TrimSpace(said), got, want)
		}
	}
}

func eventOf(t *testing.T, st *store.JobState, word string) event {
	t.Helper()
	attempt := st.Job.Attempt
	if w, ok := strings.CutSuffix(word, "-before"); ok { // of the attempt before
		word, attempt = w, attempt-1
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(word, "+")); err == nil {
		st.Now = st.Now.Add(d)
		return due(st.Job, st.Now, epoch, testLimits)
	}
	switch word {
	case "taken":
		return taken{provider}
	case "planned":
		return planned{attempt: attempt, agents: func(store.BuildState) ([]store.NewAgent, error) { return nil, nil }}
	case "cancel":
		return cancelAsked{"canceled"}
	case "restarted":
		return lost{attempt: attempt, why: "restarted"}
	case "succeeded", "failed", "canceled":
		return finished{attempt: attempt, status: store.JobStatus(word), err: word}
	case "heartbeat":
		now := st.Now
		st.Job.HeartbeatAt = &now
		return nil
	}
	t.Fatalf("no event is called %q", word)
	return nil
}

func TestStartStopAndDelete(t *testing.T) {
	play(t, store.Start, `
		         => queued pending
		taken    => running starting
		planned  => running starting held
		succeeded => succeeded running over
	`)
	play(t, store.Stop, `
		         => queued stopping
		taken    => running stopping
		planned  => running stopping held
		succeeded => succeeded stopped over
	`)
	play(t, store.Delete, `
		         => queued deleting
		taken planned => running deleting held
		succeeded => succeeded deleted over
	`)
}

func TestFailureFreesTheWorkspaceForAnotherTry(t *testing.T) {
	play(t, store.Start, `taken planned failed => failed failed over`)
	play(t, store.Start, `taken failed => failed failed over`)
	play(t, store.Delete, `taken planned failed => failed failed over`)
}

func TestFinishIsRepeatedUntilItIsAnswered(t *testing.T) {
	play(t, store.Start, `
		taken planned succeeded => succeeded running over
		succeeded               => succeeded running over
		failed                  => succeeded running over
	`)
}

// A provisioner that is gone before it began has changed nothing: another gets
// the job. What the first says of it after that is refused.
func TestLostBeforeItBeganGoesToAnother(t *testing.T) {
	play(t, store.Start, `
		taken            => running starting
		+29s             => running starting
		+1s              => lookForWork queued pending
		planned          => refused queued pending
		succeeded        => refused queued pending
		taken            => running starting
		planned-before   => refused running starting
		succeeded-before => refused running starting
		planned succeeded => succeeded running over
	`)
}

// A job that takes its provisioners down with it goes through three of them.
func TestLostTooOftenFails(t *testing.T) {
	play(t, store.Start, `
		taken restarted => lookForWork queued pending
		taken restarted => lookForWork queued pending
		taken restarted => failed failed over
	`)
}

// A provisioner that is gone after it began may hold a newer state: nothing is
// built before it has said how it ended.
func TestLostAfterItBeganHoldsTheWorkspace(t *testing.T) {
	play(t, store.Start, `
		taken planned => running starting held
		+30s          => failed failed held over
		failed        => failed failed over
	`)
	play(t, store.Delete, `
		taken planned restarted => failed failed held over
		succeeded               => failed failed over
	`)
}

func TestHeartbeatsKeepAJob(t *testing.T) {
	play(t, store.Start, `
		taken planned  => running starting held
		+29s heartbeat => running starting held
		+29s           => running starting held
		+1s            => failed failed held over
	`)
}

func TestCancelInterruptsThenKills(t *testing.T) {
	play(t, store.Start, `
		taken planned    => running starting held
		cancel           => tellCancel running starting held
		cancel           => tellCancel running starting held
		+29s heartbeat   => tellCancel running starting held
		+29s heartbeat   => tellCancel running starting held
		+2s              => tellCancel force running starting held
		+1s              => tellCancel force running starting held
		canceled         => canceled failed over
	`)
}

func TestCancelOfWhatIsQueuedIsAtOnce(t *testing.T) {
	play(t, store.Start, `
		cancel => canceled failed over
		taken  => refused canceled failed over
		cancel => refused canceled failed over
	`)
}

// A job that is to end may not begin any more, and one that nobody has any more
// ends by that.
func TestCancelBeforeItBegan(t *testing.T) {
	play(t, store.Start, `
		taken cancel => tellCancel running starting
		planned      => refused running starting
		restarted    => canceled failed over
	`)
}

func TestTooLongIsCanceled(t *testing.T) {
	now := epoch.Add(testLimits.timeout)
	j := store.Job{ID: testJob, Status: store.JobRunning, Attempt: 1, HeartbeatAt: &now, StartedAt: &epoch}
	if e, ok := due(j, now, epoch, testLimits).(cancelAsked); !ok || e.why != "it took longer than 1h0m0s" {
		t.Errorf("due is %v, want cancelAsked", e)
	}
}

// A provisioner that says it is there but never ends what it was told to kill
// does not keep the job for ever.
func TestKillThatIsNotObeyedFails(t *testing.T) {
	st := store.Job{ID: testJob, Status: store.JobRunning, Attempt: 1, HeartbeatAt: &epoch, CancelRequestedAt: &epoch, CancelForcedAt: &epoch}
	l := limits{lease: time.Hour, grace: time.Minute, timeout: time.Hour}
	if e, ok := due(st, epoch.Add(time.Minute), epoch, l).(lost); !ok {
		t.Errorf("due is %T, want lost", e)
	}
}

// While the coordinator was away no heartbeat could be noted: leases count from
// its return.
func TestCoordinatorsAbsenceIsNoFaultOfProvisioners(t *testing.T) {
	j := store.Job{ID: testJob, Status: store.JobRunning, Attempt: 1, HeartbeatAt: &epoch, StartedAt: &epoch}
	back := epoch.Add(10 * time.Minute)
	if e := due(j, back.Add(29*time.Second), back, testLimits); e != nil {
		t.Errorf("29 s after the return %T is due", e)
	}
	if _, ok := due(j, back.Add(30*time.Second), back, testLimits).(lost); !ok {
		t.Error("30 s after the return it is not lost")
	}
}

// A build whose workspace would cost more than its owner may is refused before it
// begins; one that makes it cost no more is not.
func TestCostsAreAskedForBeforeABuildBegins(t *testing.T) {
	for _, c := range []struct {
		name                     string
		spent                    *store.Usage
		template, was, will, now int
		refused                  bool
	}{
		{"no quota", &store.Usage{Used: 100, Budget: -1}, 1, 0, 50, 50, false},
		{"room", &store.Usage{Used: 5, Budget: 10}, 1, 0, 4, 4, false},
		{"too much", &store.Usage{Used: 5, Budget: 10}, 1, 0, 5, 0, true},
		{"less than before", &store.Usage{Used: 50, Budget: 10}, 1, 5, 4, 5, false},
		{"as much as before", &store.Usage{Used: 50, Budget: 10}, 1, 5, 5, 5, false},
		{"nothing that costs", &store.Usage{Used: 50, Budget: 10}, 1, 0, 0, 0, false},
		{"not known", nil, 0, 0, 5, 5, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := &store.JobState{
				Job:   store.Job{ID: testJob, Status: store.JobRunning, Attempt: 1},
				Build: &store.BuildState{Transition: store.Stop, DailyCost: c.was, Spent: c.spent, TemplateCost: c.template},
			}
			_, _, err := step(st, planned{attempt: 1, cost: c.will})
			var over *store.OverQuota
			if errors.As(err, &over) != c.refused || err != nil && !c.refused {
				t.Errorf("it is told %v", err)
			}
			if st.Build.DailyCost != c.now {
				t.Errorf("it costs %d, want %d", st.Build.DailyCost, c.now)
			}
			if c.refused {
				return
			}
			if _, _, err := step(st, finished{attempt: 1, status: store.JobSucceeded, cost: c.will}); err != nil || st.Build.DailyCost != c.will {
				t.Errorf("in the end it costs %d, %v", st.Build.DailyCost, err)
			}
		})
	}
}

package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/store/storetest"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
)

// server is one real Postgres for all tests; each has a database of its own.
var server *postgres.Server

func TestMain(m *testing.M) { os.Exit(storetest.Main(m, &server)) }

// open returns a store of its own, with a user.
func open(t testing.TB) (*store.Store, store.User) {
	t.Helper()
	st, err := store.Open(t.Context(), postgrestest.Database(t, server), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	u, err := st.CreateFirstUser(t.Context(), store.NewUser{Username: "alice", Email: "alice@example.com", PasswordHash: "x", Role: store.RoleOwner})
	if err != nil {
		t.Fatal(err)
	}
	return st, u
}

// running returns a bus that runs until the test ends and keeps so many events
// in memory.
func running(t testing.TB, s Store, keep int) *Bus {
	t.Helper()
	b := New(s, nil)
	b.keep = keep
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var run sync.WaitGroup
	run.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return b
}

func external(owner store.User, name string) store.NewWorkspace {
	return store.NewWorkspace{OwnerID: owner.ID, OwnerName: owner.Username, Name: name, External: true, AgentName: "main", AgentTokenHash: []byte("x")}
}

// Whatever writers do at once, and however often followers break off and come
// back, to this coordinator or another: each gets every event, once, in one and
// the same order. Some writers fail half-way; of that nobody hears.
func TestFollowersGetEveryEventOnceInOneOrder(t *testing.T) {
	st, owner := open(t)
	if _, err := st.CreateWorkspace(t.Context(), external(owner, "taken")); err != nil {
		t.Fatal(err)
	}
	start, err := st.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// One forgets almost at once, so that its followers read the database.
	buses := []*Bus{running(t, st, 4), running(t, st, kept)}
	const writers, writes, followers = 6, 40, 8
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	enough, stop := context.WithCancel(ctx)
	defer stop()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	seen := make([][]store.Event, followers)
	var following, writing sync.WaitGroup
	for i := range followers {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		following.Go(func() {
			after := start
			for enough.Err() == nil {
				once, breakOff := context.WithTimeout(enough, time.Duration(r.IntN(40))*time.Millisecond)
				list, err := buses[r.IntN(len(buses))].Next(once, after)
				breakOff()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Errorf("follower %d: %v", i, err)
					return
				}
				// It may be cut off in the middle of what it got.
				if len(list) > 0 {
					list = list[:1+r.IntN(len(list))]
					seen[i] = append(seen[i], list...)
					after = list[len(list)-1].Version
				}
			}
		})
	}
	for i := range writers {
		writing.Go(func() {
			for j := range writes {
				if j%2 == 1 {
					if _, err := st.CreateWorkspace(ctx, external(owner, "taken")); !errors.Is(err, store.ErrConflict) {
						t.Errorf("a second workspace of one name: %v", err)
					}
					continue
				}
				w, err := st.CreateWorkspace(ctx, external(owner, fmt.Sprintf("w%d-%d", i, j)))
				switch {
				case err != nil:
				case j%4 == 0:
					err = st.RecordLiveness(ctx, []store.AgentLiveness{{AgentID: w.Agents[0].ID, State: store.AgentConnected, At: time.Now()}})
				default:
					err = st.DeleteWorkspace(ctx, w.ID)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	var all []store.Event
	for after := start; ; after = all[len(all)-1].Version {
		list, err := st.EventsAfter(ctx, after, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		all = append(all, list...)
	}
	// Each workspace with its agent, and what became of one of the two.
	if want := writers * writes / 2 * 3; len(all) != want {
		t.Errorf("%d events are written down, want %d", len(all), want)
	}
	last := all[len(all)-1].Version
	stop()
	following.Wait()
	for i := range followers {
		// What it had not fetched when the test ended it resumes now.
		after := start
		if n := len(seen[i]); n > 0 {
			after = seen[i][n-1].Version
		}
		for after < last {
			list, err := buses[i%len(buses)].Next(ctx, after)
			if err != nil {
				t.Fatalf("follower %d resumes after %d: %v", i, after, err)
			}
			seen[i] = append(seen[i], list...)
			after = list[len(list)-1].Version
		}
		same := slices.EqualFunc(seen[i], all, func(a, b store.Event) bool {
			return a.Version == b.Version && a.SubjectID == b.SubjectID && a.Action == b.Action
		})
		if !same {
			t.Errorf("follower %d got %d events of %d, or others", i, len(seen[i]), len(all))
		}
	}
}

func TestAFollowerIsToldWhenWhatItMissedIsPruned(t *testing.T) {
	st, owner := open(t)
	b := running(t, st, 2)
	for i := range 5 {
		if _, err := st.CreateToken(t.Context(), store.NewToken{UserID: owner.ID, Name: fmt.Sprint(i), SecretHash: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	newest, err := st.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Next(t.Context(), newest-1); err != nil { // the bus has seen all
		t.Fatal(err)
	}
	if n, err := st.PruneEvents(t.Context(), time.Now().Add(time.Hour)); err != nil || n != newest-1 {
		t.Fatalf("pruned %d of %d events: %v", n, newest, err)
	}
	if _, err := b.Next(t.Context(), newest-3); !errors.Is(err, store.ErrGone) {
		t.Errorf("after what is pruned: %v, want ErrGone", err)
	}
	list, err := b.Next(t.Context(), newest-1)
	if err != nil || len(list) != 1 || list[0].Version != newest {
		t.Errorf("after the last that is pruned: %v, %v; the newest is to stay", list, err)
	}
	// Whoever has seen all waits, pruned or not.
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if list, err := b.Next(short, newest); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the newest: %v, %v; want to wait", list, err)
	}
}

// deaf is a store whose database wakes nobody.
type deaf struct{ *store.Store }

func (deaf) ListenEvents(context.Context, func()) error { return errors.New("deaf") }

func TestABusThatNobodyWakesLooksOfItself(t *testing.T) {
	st, owner := open(t)
	b := running(t, deaf{st}, kept)
	newest, err := st.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := st.CreateToken(t.Context(), store.NewToken{UserID: owner.ID, Name: "t", SecretHash: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*lookEvery)
	defer cancel()
	list, err := b.Next(ctx, newest)
	if err != nil || list[0].SubjectID != tok.ID {
		t.Errorf("got %v, %v; want token %s", list, err, tok.ID)
	}
}

// BenchmarkCommits is how fast small changes can be made while each waits for
// the others to be in order.
func BenchmarkCommits(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			st, owner := open(b)
			bus := running(b, st, kept)
			start, err := st.NewestEvent(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						if _, err := st.CreateToken(b.Context(), store.NewToken{UserID: owner.ID, Name: uuid.NewString(), SecretHash: []byte("x")}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			for n := 0; n < b.N; {
				list, err := bus.Next(b.Context(), start)
				if err != nil {
					b.Fatal(err)
				}
				n, start = n+len(list), list[len(list)-1].Version
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

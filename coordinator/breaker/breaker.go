// Package breaker keeps what hangs from holding up those who ask it: a sign-in
// provider, a relay, a webhook's receiver, an agent behind the proxy. After some
// failures in a row a target is not asked for a while, then by one call on trial,
// and by everybody again once that call comes back.
//
// A [Registry] has the breakers of a coordinator, one for each target, and is
// where metrics and health look. A call goes through [Breaker.Do], or through
// the [Registry.Transport] of an HTTP client. The time limit of a call is its
// caller's to set, and passing it counts as a failure; so an answer that is not
// wanted, but came, must not be returned as an error from Do.
package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/aditmesh/adit/pkg/foreign"
)

// Kind is what a target is. The kinds are few: they are labels of metrics.
type Kind string

// Kinds of targets.
const (
	SignIn  Kind = "sign-in" // an OIDC provider, or GitHub
	Relay   Kind = "relay"
	Webhook Kind = "webhook"
	Agent   Kind = "agent" // behind the proxy
	Cloud   Kind = "cloud" // whose keys prove instances
	Self    Kind = "self"  // the coordinator's own access URL
)

// Kinds lists all kinds.
func Kinds() []Kind { return []Kind{SignIn, Relay, Webhook, Agent, Cloud, Self} }

const (
	// failuresInRow trips a breaker: one more than a connection that broke, its
	// retry, and the same again after a restart of the other side.
	failuresInRow = 5

	// A target that answers now and then trips at this share of the calls of
	// window, if they are enough to say so.
	failureShare = 0.6
	enoughCalls  = 20
	window       = time.Minute
	windowStep   = 10 * time.Second

	// openFor is how long a target is left alone. Whatever was restarted is
	// back by then.
	openFor = 30 * time.Second

	// maxTargets bounds the breakers of a kind: people name targets of webhooks.
	maxTargets = 1024
)

// ErrOpen is that a target is not asked: it did not answer lately.
var ErrOpen = errors.New("it did not answer lately and is left alone for a while")

// Registry has the breakers of a coordinator. Its methods may be called
// concurrently.
type Registry struct {
	log *slog.Logger

	mu      sync.Mutex // guards targets and used of each breaker
	targets map[Kind]map[string]*Breaker
	counts  map[Kind]*counts // the map is never changed
}

type counts struct{ ok, failed, refused atomic.Uint64 }

// NewRegistry returns a registry without breakers. The logger gets a line when
// one opens or closes; nil discards.
func NewRegistry(log *slog.Logger) *Registry {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Registry{log: log, targets: make(map[Kind]map[string]*Breaker), counts: make(map[Kind]*counts)}
	for _, k := range Kinds() {
		r.targets[k], r.counts[k] = make(map[string]*Breaker), new(counts)
	}
	return r
}

// Breaker is the breaker of one target.
type Breaker struct {
	kind   Kind
	target string
	cb     *gobreaker.CircuitBreaker[struct{}]
	counts *counts
	used   time.Time // guarded by Registry.mu

	mu   sync.Mutex // guards what follows
	last string     // error of the last call that failed
	at   time.Time  // when that was
}

// Breaker returns the breaker of a target, such as a host and port. Of too many
// targets the one that was idle for longest is forgotten, and with it what is
// known against it.
func (r *Registry) Breaker(kind Kind, target string) *Breaker {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.targets[kind]
	b := all[target]
	if b == nil {
		if len(all) >= maxTargets {
			delete(all, idlest(all))
		}
		b = &Breaker{kind: kind, target: target, counts: r.counts[kind]}
		b.cb = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
			Name: target, MaxRequests: 1, Interval: window, BucketPeriod: windowStep, Timeout: openFor,
			ReadyToTrip: tripped, IsExcluded: func(err error) bool { return errors.Is(err, errGivenUp) },
			OnStateChange: func(_ string, from, to gobreaker.State) {
				switch {
				case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
					r.log.Warn("a target does not answer and is left alone for a while", "kind", kind, "target", target)
				case to == gobreaker.StateClosed:
					r.log.Info("a target answers again", "kind", kind, "target", target)
				}
			},
		})
		all[target] = b
	}
	b.used = time.Now()
	return b
}

func idlest(all map[string]*Breaker) string {
	var oldest *Breaker
	for _, b := range all {
		if oldest == nil || b.used.Before(oldest.used) {
			oldest = b
		}
	}
	return oldest.target
}

func tripped(c gobreaker.Counts) bool {
	return c.ConsecutiveFailures >= failuresInRow ||
		c.Requests >= enoughCalls && float64(c.TotalFailures) >= failureShare*float64(c.Requests)
}

// errGivenUp marks calls that their own caller gave up: they say nothing.
var errGivenUp = errors.New("given up by the caller")

// Do calls, or returns an error that matches ErrOpen if the target is left
// alone. Whatever call returns counts against the target, unless ctx was
// canceled meanwhile.
func (b *Breaker) Do(ctx context.Context, call func(context.Context) error) error {
	var err error
	called := false
	_, refused := b.cb.Execute(func() (struct{}, error) {
		called = true
		err = call(ctx)
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return struct{}{}, errors.Join(errGivenUp, err)
		}
		return struct{}{}, err
	})
	switch {
	case !called:
		b.counts.refused.Add(1)
		b.mu.Lock()
		defer b.mu.Unlock()
		return fmt.Errorf("%s %s: %w (last: %s)", b.kind, b.target, ErrOpen, b.last)
	case err == nil:
		b.counts.ok.Add(1)
	case errors.Is(refused, errGivenUp):
	default:
		b.counts.failed.Add(1)
		b.mu.Lock()
		b.last, b.at = foreign.Clip(err.Error(), maxError), time.Now()
		b.mu.Unlock()
	}
	return err
}

// maxError bounds what is kept of an error.
const maxError = 300

// Transport sends requests through the breaker of their host. An answer of 500
// or above counts as a failure, and is returned all the same.
func (r *Registry) Transport(kind Kind, next http.RoundTripper) http.RoundTripper {
	return transport{r, kind, next}
}

type transport struct {
	registry *Registry
	kind     Kind
	next     http.RoundTripper
}

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var resp *http.Response
	err := t.registry.Breaker(t.kind, req.URL.Host).Do(req.Context(), func(context.Context) (err error) {
		resp, err = t.next.RoundTrip(req)
		if err == nil && resp.StatusCode >= http.StatusInternalServerError {
			return errors.New(resp.Status)
		}
		return err
	})
	if resp != nil {
		return resp, nil
	}
	if req.Body != nil && errors.Is(err, ErrOpen) {
		_ = req.Body.Close() // a RoundTripper's duty; nothing was sent
	}
	return nil, err
}

// State is how a target is doing.
type State struct {
	Kind   Kind
	Target string
	// State is "closed" (it is asked), "half-open" (by one call on trial) or
	// "open" (it is not).
	State string
	// LastError is of the last call that failed, At when that was.
	LastError string
	At        time.Time
}

// States lists the breakers that are not closed, by kind and target.
func (r *Registry) States() []State {
	r.mu.Lock()
	var all []*Breaker
	for _, of := range r.targets {
		for _, b := range of {
			all = append(all, b)
		}
	}
	r.mu.Unlock()
	var list []State
	for _, b := range all {
		state := b.cb.State() // may log, so without the lock
		if state == gobreaker.StateClosed {
			continue
		}
		b.mu.Lock()
		list = append(list, State{Kind: b.kind, Target: b.target, State: state.String(), LastError: b.last, At: b.at})
		b.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target, b.Target))
	})
	return list
}

// Total is what became of the calls of a kind, and how many targets it has.
type Total struct {
	Kind                Kind
	OK, Failed, Refused uint64
	Targets             int
}

// Totals lists the totals of all kinds.
func (r *Registry) Totals() []Total {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Total
	for _, k := range Kinds() {
		c := r.counts[k]
		list = append(list, Total{k, c.ok.Load(), c.failed.Load(), c.refused.Load(), len(r.targets[k])})
	}
	return list
}

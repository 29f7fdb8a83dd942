package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// APIConfig is a test with requests at a steady rate.
type APIConfig struct {
	Config
	// Workspaces is how many there are besides those that the test's writes
	// make and delete.
	Workspaces int
	// Rate is how many requests begin in a second, however long others take.
	Rate float64
	// Duration is how long.
	Duration time.Duration
}

// APIResult is what came of it. A request's time counts from when it was to
// begin, so that one which had to wait for others is no quicker for it.
type APIResult struct {
	Workspaces int     `json:"workspaces"`
	Make       Spread  `json:"make"`
	Seconds    float64 `json:"seconds"`
	Requests   int     `json:"requests"`
	// Rate is how many were answered in a second.
	Rate float64 `json:"rate"`
	// Kinds are the times of reads, lists and writes; Operations those of each
	// operation.
	Kinds      map[string]Spread `json:"kinds"`
	Operations map[string]Spread `json:"operations"`
	Failed     int               `json:"failed"`
	Errors     map[string]int    `json:"errors"`
}

// listPage is how many workspaces a list is asked for: what a screen shows.
const listPage = 50

// operation is one kind of request, and how many of a hundred are such.
type operation struct {
	kind, name string
	weight     int
	do         func(context.Context, *visitor) error
}

// visitor is what requests are made with.
type visitor struct {
	client *sdk.Client
	names  []string // of workspaces that stay
	run    string

	mu    sync.Mutex // guards what follows
	next  int
	fresh []string // workspaces that were made by writes
}

// operations are what people and programs do most: look at one workspace, look
// for theirs, make and delete some.
func operations() []operation {
	return []operation{
		{"read", "get workspace", 50, func(ctx context.Context, v *visitor) error {
			_, err := v.client.Workspace(ctx, "me", v.any())
			return err
		}},
		{"read", "get me", 10, func(ctx context.Context, v *visitor) error {
			_, err := v.client.Me(ctx)
			return err
		}},
		{"read", "list connections", 5, func(ctx context.Context, v *visitor) error {
			_, err := v.client.Connections(ctx, "me", v.any())
			return err
		}},
		{"list", "list workspaces", 15, func(ctx context.Context, v *visitor) error {
			left := listPage
			for _, err := range v.client.EachWorkspace(ctx, "me", sdk.ListOptions{PageSize: listPage}) {
				if left--; err != nil || left == 0 {
					return err
				}
			}
			return nil
		}},
		{"write", "create workspace", 10, func(ctx context.Context, v *visitor) error {
			name := v.fresher()
			_, err := v.client.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, External: true})
			if err == nil {
				v.put(name)
			}
			return err
		}},
		{"write", "delete workspace", 10, func(ctx context.Context, v *visitor) error {
			name, ok := v.take()
			if !ok {
				return errNothingFresh
			}
			err := v.client.DeleteWorkspace(ctx, "me", name)
			if err != nil {
				v.put(name)
			}
			return err
		}},
	}
}

func (v *visitor) any() string { return v.names[rand.IntN(len(v.names))] }

func (v *visitor) fresher() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next++
	return fmt.Sprintf("%s-w%d", v.run, v.next)
}

func (v *visitor) put(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fresh = append(v.fresh, name)
}

// take takes the workspace that has been there the longest.
func (v *visitor) take() (name string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.fresh) == 0 {
		return "", false
	}
	name, v.fresh = v.fresh[0], v.fresh[1:]
	return name, true
}

// errNothingFresh is a coordinator that is so far behind with what is made that
// there is nothing to delete.
var errNothingFresh = errors.New("no workspace has been made that could be deleted")

// API makes workspaces, and then requests of all kinds at the rate.
func API(ctx context.Context, c APIConfig) (r APIResult, err error) {
	if c.Rate <= 0 || c.Workspaces < 1 {
		return r, errors.New("load test: a rate and a workspace at least are needed")
	}
	r.Workspaces = c.Workspaces
	// Enough spare ones that deletions do not wait for creations.
	spare := max(10, int(c.Rate))
	list, took, err := c.make(ctx, c.Workspaces+spare)
	r.Make = took
	all := names(list)
	v := &visitor{client: c.Client, run: newRun()}
	defer func() {
		if cleaned := c.remove(ctx, append(v.names, v.fresh...)); err == nil {
			err = cleaned
		}
	}()
	if err != nil {
		v.names = all
		return r, err
	}
	v.names, v.fresh = all[:c.Workspaces], all[c.Workspaces:]
	ops := operations()
	clocks := make([]clock, len(ops))
	var errs tally
	var sent, failed atomic.Int64
	total := int(c.Rate * c.Duration.Seconds())
	stop := c.follow("asking", total, func() int { return int(sent.Load()) })
	began := time.Now()
	c.pace(ctx, total, func(due time.Time) {
		i := pick(ops)
		err := ops[i].do(ctx, v)
		sent.Add(1)
		if err != nil {
			failed.Add(1)
			errs.add(fmt.Errorf("%s: %w", ops[i].name, err))
			return
		}
		clocks[i].add(time.Since(due))
	})
	stop()
	r.Seconds = time.Since(began).Seconds()
	r.Requests, r.Failed, r.Errors = int(sent.Load()), int(failed.Load()), errs.counts()
	r.Rate = float64(r.Requests) / r.Seconds
	r.Operations, r.Kinds = make(map[string]Spread), make(map[string]Spread)
	kinds := make(map[string][]time.Duration)
	for i, op := range ops {
		kinds[op.kind] = append(kinds[op.kind], clocks[i].times...)
		r.Operations[op.name] = clocks[i].spread()
	}
	for kind, times := range kinds {
		r.Kinds[kind] = spreadOf(times)
	}
	if ctx.Err() != nil {
		return r, fmt.Errorf("load test: %w", ctx.Err())
	}
	return r, nil
}

// pick chooses an operation by the weights.
func pick(ops []operation) int {
	n := rand.IntN(100)
	for i, op := range ops {
		if n -= op.weight; n < 0 {
			return i
		}
	}
	return len(ops) - 1
}

// maxUnanswered bounds the requests under way: a coordinator that answers none
// has been measured by then.
const maxUnanswered = 2000

// pace calls f for each request when it is due, without waiting for those
// before, and returns when all have returned.
func (c APIConfig) pace(ctx context.Context, total int, f func(due time.Time)) {
	var asking sync.WaitGroup
	defer asking.Wait()
	slots := make(chan struct{}, maxUnanswered)
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range total {
		due := began.Add(time.Duration(float64(i) / c.Rate * float64(time.Second)))
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		asking.Go(func() {
			defer func() { <-slots }()
			f(due)
		})
	}
}

// Transport keeps as many connections as a load test has requests under way,
// where the default keeps two.
func Transport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: keptConns, IdleConnTimeout: 30 * time.Second,
	}
}

// keptConns is a page of a busy afternoon: browsers and command lines that have
// one each.
const keptConns = 64

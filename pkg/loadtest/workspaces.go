package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// tries is how often a workspace is asked for before that counts as failed:
	// a coordinator under load may say that it cannot right now.
	tries = 5

	// triesPause lies between the first two; it grows with each.
	triesPause = 200 * time.Millisecond

	// cleanTimeout bounds the deletion after a test that was interrupted.
	cleanTimeout = 5 * time.Minute
)

// run is one load test's name, which its workspaces bear.
func newRun() string {
	id := make([]byte, 3)
	rand.Read(id)
	return Prefix + hex.EncodeToString(id)
}

// made is a workspace and what its agent needs.
type made struct {
	name, agentID, token string
}

// make makes n external workspaces. What was made before an error is returned
// with it.
func (c Config) make(ctx context.Context, n int) ([]made, Spread, error) {
	run := newRun()
	list := make([]made, n)
	var took clock
	err := c.each(ctx, "making workspaces", n, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("%s-%d", run, i)
		began := time.Now()
		w, err := c.Client.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, External: true})
		if err != nil {
			return fmt.Errorf("make workspace %s: %w", name, err)
		}
		took.add(time.Since(began))
		list[i] = made{name: w.Name, agentID: w.Agents[0].ID, token: w.AgentToken}
		return nil
	})
	if err != nil {
		list = existing(list)
	}
	return list, took.spread(), err
}

func existing(list []made) []made {
	var got []made
	for _, m := range list {
		if m.name != "" {
			got = append(got, m)
		}
	}
	return got
}

// remove deletes workspaces, also after ctx has ended. Those that are gone
// already are no error.
func (c Config) remove(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	return c.each(ctx, "deleting workspaces", len(names), func(ctx context.Context, i int) error {
		err := c.Client.DeleteWorkspace(ctx, "me", names[i])
		if err != nil && !errors.Is(err, sdk.ErrNotFound) {
			return fmt.Errorf("delete workspace %s: %w; 'adit loadtest clean' tries again", names[i], err)
		}
		return nil
	})
}

func names(list []made) []string {
	names := make([]string, 0, len(list))
	for _, m := range list {
		names = append(names, m.name)
	}
	return names
}

// Clean deletes the workspaces that earlier load tests of this user left, and
// returns how many those were.
func Clean(ctx context.Context, c Config) (int, error) {
	list, err := c.Client.Workspaces(ctx, "me")
	if err != nil {
		return 0, fmt.Errorf("load test: list workspaces: %w", err)
	}
	var left []string
	for _, w := range list {
		if w.External && strings.HasPrefix(w.Name, Prefix) {
			left = append(left, w.Name)
		}
	}
	return len(left), c.remove(ctx, left)
}

// each calls f for 0 to n-1, several at once and a few times where it fails,
// until one fails for good.
func (c Config) each(ctx context.Context, stage string, n int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	stop := c.follow(stage, n, func() int { return int(done.Load()) })
	defer stop()
	var workers sync.WaitGroup
	for range min(c.concurrency(), n) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := again(ctx, func() error { return f(ctx, i) }); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("load test: %w", err)
	}
	return nil
}

// again calls f until it succeeds, a few times at most. What the coordinator
// refuses it would refuse again.
func again(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		var refused *sdk.Error
		if err == nil || try == tries || errors.As(err, &refused) && refused.Status < 500 && refused.Status != 429 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * triesPause):
		}
	}
}

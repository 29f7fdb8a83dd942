// Package events tells those who follow what has changed, and webhooks.
//
// The database writes each change down in the change's own transaction, with a
// version, so that nothing is published that did not happen and nothing happens
// unpublished. A [Bus] is woken by the database, reads what is new, and keeps the
// newest in memory for its followers. A follower is no more than the version it
// has seen: [Bus.Next] returns what came after, from memory or, for who is slow,
// from the database. So followers cost nothing while they wait, none can hold up
// another, and any number of coordinators tell the same.
//
// Make a bus with [New] and run Run beside it; [Deliverer] likewise.
package events

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	// lookEvery is how often the bus looks of itself: while the database cannot
	// wake it, or what woke it got lost.
	lookEvery = 3 * time.Second

	// listenAgain is how long after it broke the waking connection is made anew.
	listenAgain = time.Second

	// kept is how many events are in memory: at some 500 bytes each 2 MB, and
	// minutes of a busy deployment.
	kept = 4096

	// page is how many events are read, or given to a follower, at once.
	page = 512

	// keepFor is how long events can be resumed from: over a weekend.
	keepFor = 3 * 24 * time.Hour

	// pruneEvery is how often the older ones are pruned.
	pruneEvery = 10 * time.Minute
)

// Store is what the bus reads and prunes.
type Store interface {
	EventsAfter(ctx context.Context, after int64, limit int) ([]store.Event, error)
	NewestEvent(ctx context.Context) (int64, error)
	PruneEvents(ctx context.Context, before time.Time) (int64, error)
	ListenEvents(ctx context.Context, wake func()) error
}

// Bus tells followers of events. Its methods may be called concurrently.
type Bus struct {
	store Store
	log   *slog.Logger
	keep  int           // how many events are in memory
	wake  chan struct{} // has a value when there may be something new

	mu      sync.Mutex    // guards what follows
	known   bool          // whether head and floor are
	head    int64         // version of the newest event that was read
	floor   int64         // recent has all that came after this
	recent  []store.Event // at most keep
	changed chan struct{} // closed and replaced when head grows
}

// New returns a bus that knows of nothing yet. A nil logger discards.
func New(s Store, log *slog.Logger) *Bus {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Bus{store: s, log: log, keep: kept, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Run reads events until ctx is done.
func (b *Bus) Run(ctx context.Context) {
	var helpers sync.WaitGroup
	helpers.Go(func() { b.listen(ctx) })
	helpers.Go(func() { b.prune(ctx) })
	defer helpers.Wait()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	away := false
	for {
		switch err := b.read(ctx); {
		case err == nil:
			away = false
		case ctx.Err() == nil && !away:
			b.log.Warn("events cannot be read; followers wait, and it will be tried again", "err", err)
			away = true
		}
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-look.C:
		}
	}
}

// listen has the database wake the bus.
func (b *Bus) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.store.ListenEvents(ctx, func() {
			select {
			case b.wake <- struct{}{}:
			default:
			}
		})
		if ctx.Err() == nil {
			b.log.Info("the database does not wake this coordinator for events, which looks for them meanwhile", "every", lookEvery, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

func (b *Bus) prune(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// What is left is left for the next time.
		if n, err := b.store.PruneEvents(ctx, time.Now().Add(-keepFor)); err != nil {
			b.log.Warn("old events cannot be pruned now", "err", err)
		} else if n > 0 {
			b.log.Debug("old events pruned", "events", n)
		}
	}
}

// read takes up all that is new.
func (b *Bus) read(ctx context.Context) error {
	b.mu.Lock()
	known, after := b.known, b.head
	b.mu.Unlock()
	if !known {
		newest, err := b.store.NewestEvent(ctx)
		if err != nil {
			return err
		}
		b.mu.Lock()
		b.known, b.head, b.floor = true, newest, newest
		b.tell()
		b.mu.Unlock()
		return nil
	}
	for {
		list, err := b.store.EventsAfter(ctx, after, page)
		if errors.Is(err, store.ErrGone) { // the database was away for days
			b.mu.Lock()
			b.known, b.recent = false, nil
			b.mu.Unlock()
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil
		}
		after = list[len(list)-1].Version
		b.take(list)
	}
}

func (b *Bus) take(list []store.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent = append(b.recent, list...)
	if over := len(b.recent) - b.keep; over > 0 {
		b.floor = b.recent[over-1].Version
		b.recent = slices.Delete(b.recent, 0, over)
	}
	b.head = list[len(list)-1].Version
	b.tell()
}

// tell wakes who waits. b.mu is held.
func (b *Bus) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Next returns the events that came after a version, a bounded number and at
// least one, in the order of their versions; it waits for them until ctx is
// done. Following is to call it again with the last version it returned. The
// error matches store.ErrGone for a version from so long ago that some are
// pruned: start afresh.
func (b *Bus) Next(ctx context.Context, after int64) ([]store.Event, error) {
	for {
		list, read, changed := b.look(after)
		if len(list) > 0 {
			return list, nil
		}
		if read {
			list, err := b.store.EventsAfter(ctx, after, page)
			if err != nil || len(list) > 0 {
				return list, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// look returns what memory has after a version; read says that the database may
// have more. changed is closed when that is to be asked again.
func (b *Bus) look(after int64) (list []store.Event, read bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.known || after >= b.head:
		return nil, false, b.changed
	case after < b.floor:
		return nil, true, b.changed
	}
	from, found := slices.BinarySearchFunc(b.recent, after, func(e store.Event, v int64) int {
		return int(min(max(e.Version-v, -1), 1))
	})
	if found {
		from++
	}
	return slices.Clone(b.recent[from:min(len(b.recent), from+page)]), false, b.changed
}

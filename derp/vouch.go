package derp

import (
	"context"
	"sync"
	"time"
)

const (
	// vouchFresh is how long a node that was admitted is so without another
	// question: it may come and go often on a bad network.
	vouchFresh = time.Minute

	// vouchKept is how long it is admitted while the coordinator cannot be asked:
	// longer than the outages that somebody works to end, and short enough for a
	// node that lost its rights meanwhile.
	vouchKept = 4 * time.Hour

	// vouchMost bounds how many are remembered: some 6 MB.
	vouchMost = 100_000

	// askTimeout bounds a question, for the cached answer to come within the time
	// that a node waits for.
	askTimeout = 2 * time.Second
)

// vouches remembers which nodes the coordinator has vouched for, so that they are
// served through an outage of its. Its methods may be called concurrently.
type vouches struct {
	ask func(ctx context.Context, key [32]byte) (bool, error)

	mu    sync.Mutex // guards what follows
	known map[[32]byte]time.Time
}

func newVouches(ask func(ctx context.Context, key [32]byte) (bool, error)) *vouches {
	return &vouches{ask: ask, known: make(map[[32]byte]time.Time)}
}

// admit says whether a node may come in.
func (v *vouches) admit(ctx context.Context, key [32]byte) (bool, error) {
	v.mu.Lock()
	at, was := v.known[key]
	v.mu.Unlock()
	if was && time.Since(at) < vouchFresh {
		return true, nil
	}
	asking, done := context.WithTimeout(ctx, askTimeout)
	defer done()
	ok, err := v.ask(asking, key)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil && was && time.Since(at) < vouchKept:
		return true, nil
	case err != nil:
		return false, err
	case !ok:
		delete(v.known, key)
	default:
		v.rememberLocked(key)
	}
	return ok, nil
}

func (v *vouches) rememberLocked(key [32]byte) {
	if len(v.known) >= vouchMost {
		for k, at := range v.known {
			if time.Since(at) >= vouchKept {
				delete(v.known, k)
			}
		}
	}
	for k := range v.known { // any, should they all be young
		if len(v.known) < vouchMost {
			break
		}
		delete(v.known, k)
	}
	v.known[key] = time.Now()
}

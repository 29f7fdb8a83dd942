package tunnel

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// addressed keeps something for each mesh address. Packets come in runs of one
// peer's, and on an idle link nothing of a map is in the cache, so the last answer
// is kept at hand. Its methods may be called concurrently.
type addressed[T any] struct {
	last atomic.Pointer[belonging[T]] // one of all, or nil; stored under mu

	mu  sync.RWMutex // guards what follows
	all map[[16]byte]*belonging[T]
}

// belonging is what is kept for an address. It does not change.
type belonging[T any] struct {
	addr [16]byte
	what T
}

// get returns what is kept for addr; the zero value is nothing.
func (a *addressed[T]) get(addr [16]byte) T {
	if b := a.last.Load(); b != nil && b.addr == addr {
		return b.what
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if b := a.all[addr]; b != nil {
		a.last.Store(b)
		return b.what
	}
	var none T
	return none
}

// set keeps something for addr.
func (a *addressed[T]) set(addr netip.Addr, what T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = make(map[[16]byte]*belonging[T])
	}
	a.all[addr.As16()] = &belonging[T]{addr.As16(), what}
	a.last.Store(nil)
}

// remove keeps nothing for addr any more.
func (a *addressed[T]) remove(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, addr.As16())
	a.last.Store(nil)
}

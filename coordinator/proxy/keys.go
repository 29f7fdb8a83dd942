package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/aditmesh/adit/coordinator/auth"
)

const (
	// ticketFor is how long a ticket is good: for one redirect.
	ticketFor = 30 * time.Second

	// keyFor is how long a browser may go on to open an app without going by the
	// dashboard again. That somebody may no longer is seen at once all the same.
	keyFor = 12 * time.Hour

	// maxKeys bounds tickets and keys each. Of too many, some go: their browsers come
	// by the dashboard again.
	maxKeys = 100_000
)

// pass is what somebody was given: who it is for, and where to.
type pass struct {
	who   auth.Identity
	label string
	// nonce is, of a ticket, the digest of what the browser has that began; path is
	// where it wanted to go.
	nonce [sha256.Size]byte
	path  string
	until time.Time
}

// passes are tickets, or keys, by digest: what was read here opens nothing. They die
// with the process, after which browsers come by the dashboard again. The zero value is
// ready.
type passes struct {
	mu   sync.Mutex // guards all
	all  map[[sha256.Size]byte]pass
	last time.Time // when those that are over were taken out
}

// give keeps a pass and returns its text, which is nowhere else.
func (s *passes) give(p pass, lasts time.Duration) string {
	text := rand.Text() + rand.Text()
	now := time.Now()
	p.until = now.Add(lasts)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[[sha256.Size]byte]pass)
	}
	if now.Sub(s.last) > ticketFor {
		s.last = now
		for k, old := range s.all {
			if now.After(old.until) {
				delete(s.all, k)
			}
		}
	}
	for k := range s.all {
		if len(s.all) < maxKeys {
			break
		}
		delete(s.all, k)
	}
	s.all[sha256.Sum256([]byte(text))] = p
	return text
}

// see returns a pass that is good at a label.
func (s *passes) see(text, label string) (pass, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.all[sha256.Sum256([]byte(text))]
	return p, ok && p.label == label && time.Now().Before(p.until)
}

// take is see of what is good once.
func (s *passes) take(text, label string) (pass, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(text))
	p, ok := s.all[key]
	delete(s.all, key)
	return p, ok && p.label == label && time.Now().Before(p.until)
}

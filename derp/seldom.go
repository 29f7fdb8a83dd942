package derp

import (
	"sync"
	"time"
)

// seldom is what is said no more often than once in a while. Its methods may be called
// concurrently.
type seldom struct {
	every time.Duration

	mu   sync.Mutex
	said time.Time // guarded by mu
}

func newSeldom(every time.Duration) *seldom { return &seldom{every: every} }

// may reports whether it is time to say it again.
func (s *seldom) may(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.said) < s.every {
		return false
	}
	s.said = now
	return true
}

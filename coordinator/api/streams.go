package api

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
)

// streams are the answers that go on for long, so that they end with the access
// of those who asked. The zero value is ready.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{} // guarded by mu
}

type stream struct {
	user, token uuid.UUID
	end         context.CancelFunc
}

// add notes an answer to somebody. It ends with ctx or when their access does;
// the caller calls done after it.
func (s *streams) add(ctx context.Context, who auth.Identity) (bounded context.Context, done func()) {
	bounded, end := context.WithCancel(ctx)
	st := &stream{user: who.UserID, token: who.TokenID, end: end}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*stream]struct{})
	}
	s.open[st] = struct{}{}
	return bounded, func() {
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, st)
	}
}

func (s *streams) endToken(id uuid.UUID) { s.endThose(func(st *stream) bool { return st.token == id }) }

// endUser ends what a person has open; what their agents have goes on.
func (s *streams) endUser(id uuid.UUID) {
	s.endThose(func(st *stream) bool { return st.user == id && st.token != uuid.Nil })
}

func (s *streams) endThose(match func(*stream) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.open {
		if match(st) {
			st.end()
		}
	}
}

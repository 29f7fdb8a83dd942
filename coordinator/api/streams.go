package api

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/store"
)

// streams are the answers that go on for long, so that they end with the access
// of those who asked. The zero value is ready.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{} // guarded by mu
}

type stream struct {
	who auth.Identity
	end context.CancelFunc
}

// add notes an answer to somebody. It ends with ctx or when their access does;
// the caller calls done after it.
func (s *streams) add(ctx context.Context, who auth.Identity) (bounded context.Context, done func()) {
	bounded, end := context.WithCancel(ctx)
	st := &stream{who: who, end: end}
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

func (s *streams) endToken(id uuid.UUID) {
	s.endThose(func(who auth.Identity) bool { return who.TokenID == id })
}

// endUser ends what a person has open; what their agents have goes on.
func (s *streams) endUser(id uuid.UUID) {
	s.endThose(func(who auth.Identity) bool { return who.Kind == auth.User && who.UserID == id })
}

func (s *streams) endThose(match func(auth.Identity) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.open {
		if match(st.who) {
			st.end()
		}
	}
}

// tokens are those of people whose answers are to be looked at again.
func (s *streams) tokens(which mesh.Access) map[uuid.UUID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make(map[uuid.UUID]bool)
	for st := range s.open {
		if st.who.Kind == auth.User && (which.All || which.Users[st.who.UserID]) {
			list[st.who.TokenID] = true
		}
	}
	return list
}

// Recheck ends answers that go on for long and may not any more, whichever coordinator
// ended the access of those who asked. An error says that the database could not tell
// of some, which are to be looked at again.
func (a *API) Recheck(ctx context.Context, which mesh.Access) error {
	a.streams.endThose(which.HasLeft)
	var failed error
	for id := range a.streams.tokens(which) {
		switch _, err := a.Store.LiveToken(ctx, id); {
		case errors.Is(err, store.ErrNotFound):
			a.streams.endToken(id)
		case err != nil:
			failed = fmt.Errorf("api: recheck an answer: %w", err)
		}
	}
	return failed
}

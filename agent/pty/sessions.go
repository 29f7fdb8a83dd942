package pty

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/family"
)

// maxSessions bounds the sessions that this process keeps.
const maxSessions = 64

// Errors that callers tell apart.
var (
	ErrName    = errors.New("pty: a session's name has up to 64 letters, digits, dashes and underscores")
	ErrTooMany = fmt.Errorf("pty: there are %d sessions already", maxSessions)
	ErrNone    = errors.New("pty: there is no such session")
	ErrClosed  = errors.New("pty: closed")
)

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`)

// Viewer is somebody who looks at a session. Read returns what is shown, from what
// was shown before on, and io.EOF when the session's program has ended; Write types.
// Close leaves, and ends a Read or Write that is under way. All may be called
// concurrently.
type Viewer interface {
	io.ReadWriteCloser
	Resize(Size) error
	// Wait returns how the program ended, once Read has returned io.EOF.
	Wait() error
}

// Info is what there is to know of a session.
type Info struct {
	Name    string    `json:"name"`
	Kept    string    `json:"kept"` // by "agent", "tmux" or "screen"
	Created time.Time `json:"created"`
	Viewers int       `json:"viewers"`
}

// Sessions are those of an account. The zero value has none; its methods may be
// called concurrently.
type Sessions struct {
	// Own makes this process keep all sessions itself.
	Own bool
	// Scope tells the sessions of this owner from those of others who have the same
	// account, where tmux or screen keep them: letters, digits and dashes.
	Scope string
	// Start starts their programs; nil starts them as they are.
	Start family.Starter

	mu     sync.Mutex // guards what follows
	closed bool
	kept   map[string]*kept
	ended  sync.WaitGroup
}

// Attach looks at a session. Unless there is one by that name, cmd becomes its
// program; where tmux or screen keep it, they run cmd's shell in cmd's environment,
// and command in it unless that is empty.
func (s *Sessions) Attach(name string, size Size, cmd *exec.Cmd, command string) (Viewer, error) {
	return s.attach(name, size, cmd, command, s.multiplexer())
}

// AttachOwn is Attach to a session that this process keeps, whatever else could.
func (s *Sessions) AttachOwn(name string, size Size, cmd *exec.Cmd, command string) (Viewer, error) {
	return s.attach(name, size, cmd, command, nil)
}

func (s *Sessions) attach(name string, size Size, cmd *exec.Cmd, command string, m multiplexer) (Viewer, error) {
	if !validName.MatchString(name) {
		return nil, ErrName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	k := s.kept[name]
	if k == nil {
		if m != nil {
			return attachTo(m, name, size, cmd, command, s.Start)
		}
		if len(s.kept) >= maxSessions {
			return nil, ErrTooMany
		}
		var err error
		if k, err = keep(name, size, cmd, s.Start); err != nil {
			return nil, err
		}
		if s.kept == nil {
			s.kept = make(map[string]*kept)
		}
		s.kept[name] = k
		s.ended.Go(func() {
			k.run()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.kept, name)
		})
	}
	return k.attach(size), nil
}

// multiplexer is the program that keeps sessions; nil if this process does.
func (s *Sessions) multiplexer() multiplexer {
	if s.Own {
		return nil
	}
	return findMultiplexer(s.Scope)
}

// List lists the sessions, by name.
func (s *Sessions) List() []Info {
	var list []Info
	s.mu.Lock()
	for _, k := range s.kept {
		list = append(list, k.info())
	}
	s.mu.Unlock()
	if m := s.multiplexer(); m != nil {
		list = append(list, m.list()...)
	}
	slices.SortFunc(list, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Kept returns how many sessions this process keeps.
func (s *Sessions) Kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// Kill ends a session.
func (s *Sessions) Kill(name string) error {
	if !validName.MatchString(name) {
		return ErrName
	}
	s.mu.Lock()
	k := s.kept[name]
	s.mu.Unlock()
	if k != nil {
		k.hangUp()
		return nil
	}
	if m := s.multiplexer(); m != nil {
		return m.kill(name)
	}
	return ErrNone
}

// Close ends the sessions that this process keeps and waits for their programs.
func (s *Sessions) Close() {
	s.mu.Lock()
	s.closed = true
	for _, k := range s.kept {
		k.hangUp()
	}
	s.mu.Unlock()
	s.ended.Wait()
}

package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

// maxHashing bounds the memory that signing in can take: argonMemory each.
const maxHashing = 4

const (
	// MinPassword and MaxPassword bound a password in bytes: NIST SP 800-63B
	// asks for eight at least, and hashing a megabyte would be an attack.
	MinPassword = 8
	MaxPassword = 512
)

// ErrPassword is a password that cannot be one.
var ErrPassword = fmt.Errorf("a password has %d to %d bytes", MinPassword, MaxPassword)

// ErrTooMany: too many wrong passwords for this name of late.
var ErrTooMany = errors.New("too many attempts; wait a minute")

// hasher hashes passwords, a few at a time.
type hasher struct {
	slots chan struct{}
	// decoy is checked for names that nobody has, so that the time taken
	// tells nothing.
	decoy func() string
}

func newHasher() *hasher {
	h := &hasher{slots: make(chan struct{}, maxHashing)}
	h.decoy = sync.OnceValue(func() string {
		return newDigest(rand.Text()).String() // no password has this hash
	})
	return h
}

// HashPassword returns what to keep of a password.
func (a *Authenticator) HashPassword(ctx context.Context, password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", ErrPassword
	}
	if err := a.passwords.enter(ctx); err != nil {
		return "", err
	}
	defer a.passwords.leave()
	return newDigest(password).String(), nil
}

// CheckPassword returns the user with this name and password, or
// ErrUnauthenticated.
func (a *Authenticator) CheckPassword(ctx context.Context, username, password string) (store.User, error) {
	if len(password) > MaxPassword || strings.ContainsRune(username, 0) { // Postgres takes no zero bytes
		return store.User{}, ErrUnauthenticated
	}
	name := strings.ToLower(username)
	if !a.attempts.allow(name, time.Now()) {
		return store.User{}, ErrTooMany
	}
	u, err := a.store.UserByName(ctx, username)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, fmt.Errorf("auth: %w", err)
	}
	known := err == nil
	if err := a.passwords.enter(ctx); err != nil {
		return store.User{}, err
	}
	defer a.passwords.leave()
	if !known {
		u.PasswordHash = a.passwords.decoy()
	}
	if d, ok := parseDigest(u.PasswordHash); !ok || !d.matches(password) || !known {
		return store.User{}, ErrUnauthenticated
	}
	a.attempts.succeed(name)
	return u, nil
}

func (h *hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("auth: wait to hash a password: %w", ctx.Err())
	}
}

func (h *hasher) leave() { <-h.slots }

const (
	// A name may be tried this often in this time; then it has to wait.
	attemptsMax    = 10
	attemptsWindow = time.Minute

	// attemptsNames bounds how many names are remembered.
	attemptsNames = 10_000
)

// attempts counts wrong passwords by user name.
type attempts struct {
	mu    sync.Mutex
	names map[string]*window // guarded by mu
}

type window struct {
	began time.Time
	count int
}

func newAttempts() *attempts { return &attempts{names: make(map[string]*window)} }

// allow counts an attempt and reports whether it may be made.
func (a *attempts) allow(name string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.names[name]
	if w == nil || now.Sub(w.began) >= attemptsWindow {
		if len(a.names) >= attemptsNames {
			clear(a.names)
		}
		w = &window{began: now}
		a.names[name] = w
	}
	w.count++
	return w.count <= attemptsMax
}

func (a *attempts) succeed(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.names, name)
}

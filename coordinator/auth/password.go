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

// TooMany is too many wrong passwords for a name of late.
type TooMany struct {
	// Wait is how long to wait, in whole seconds.
	Wait time.Duration
}

func (e *TooMany) Error() string {
	return fmt.Sprintf("too many attempts; try again in %v, and longer the more there are", e.Wait)
}

// ErrSuspended is the right password of somebody who may not sign in.
var ErrSuspended = errors.New("the account is suspended; ask an administrator")

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
// ErrUnauthenticated, a *TooMany or, for who knows the password, ErrSuspended.
func (a *Authenticator) CheckPassword(ctx context.Context, username, password string) (store.User, error) {
	if len(password) > MaxPassword || strings.ContainsRune(username, 0) { // Postgres takes no zero bytes
		return store.User{}, ErrUnauthenticated
	}
	name := strings.ToLower(username)
	var locked *store.Locked
	switch err := a.store.CountLogin(ctx, name); {
	case errors.As(err, &locked):
		return store.User{}, &TooMany{Wait: locked.For.Truncate(time.Second) + time.Second}
	case err != nil:
		return store.User{}, fmt.Errorf("auth: %w", err)
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
	if err := a.store.ForgetLogins(ctx, name); err != nil {
		return store.User{}, fmt.Errorf("auth: %w", err)
	}
	if u.SuspendedAt != nil {
		return store.User{}, ErrSuspended
	}
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

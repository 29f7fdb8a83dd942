package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/aditmesh/adit/coordinator/store"
)

// Parameters of argon2id: the second recommendation of RFC 9106, section 4,
// for where memory is scarce.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	argonSalt    = 16
	argonKey     = 32

	// maxHashing bounds the memory that signing in can take: 64 MiB each.
	maxHashing = 4
)

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
		return encode(rand.Text()) // no password has this hash
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
	return encode(password), nil
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
	if !known {
		u.PasswordHash = a.passwords.decoy()
	}
	if err := a.passwords.enter(ctx); err != nil {
		return store.User{}, err
	}
	defer a.passwords.leave()
	if !matches(password, u.PasswordHash) || !known {
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

// encode hashes a password in the form that the argon2 reference uses.
func encode(password string) string {
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// matches checks a password against a hash from encode, with the parameters
// that the hash names.
func matches(password, encoded string) bool {
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	var memory, passes uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || passes == 0 || threads == 0 || len(want) == 0 || memory > 1<<20 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

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

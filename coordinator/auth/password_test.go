package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// The digest of the argon2 reference program:
// printf 'password' | argon2 somesalt -id -t 2 -m 16 -p 1
const referenceDigest = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestDigest(t *testing.T) {
	d, ok := parseDigest(referenceDigest)
	if !ok || !d.matches("password") || d.matches("Password") {
		t.Errorf("the reference's digest: parsed %v, matches %v, another password %v", ok, d.matches("password"), d.matches("Password"))
	}
	made := newDigest("correct horse").String()
	if again := newDigest("correct horse").String(); again == made {
		t.Error("two digests of one password are equal")
	}
	if d, ok := parseDigest(made); !ok || !d.matches("correct horse") {
		t.Errorf("%s: parsed %v", made, ok)
	}
	for _, bad := range []string{
		"", "x", "plain", "$$$$$",
		strings.Replace(referenceDigest, "argon2id", "argon2i", 1),
		strings.Replace(referenceDigest, "v=19", "v=16", 1),
		strings.Replace(referenceDigest, "m=65536", "m=4294967295", 1),
		strings.Replace(referenceDigest, "t=2", "t=0", 1),
		strings.Replace(referenceDigest, "p=1", "p=256", 1),
		strings.Replace(referenceDigest, "p=1", "p=1,x=1", 1),
		referenceDigest[:strings.LastIndexByte(referenceDigest, '$')+1],
	} {
		if d, ok := parseDigest(bad); ok {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
}

// A user whose hash is spoilt cannot sign in, and nothing breaks.
func TestSpoiltDigestMatchesNothing(t *testing.T) {
	m, a, _ := newMemory(t)
	m.user.PasswordHash = ""
	if _, err := a.CheckPassword(t.Context(), "alice", ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("got %v, want ErrUnauthenticated", err)
	}
}

// While all slots hash, others wait for as long as they have time: that is no
// wrong password.
func TestHashingIsBounded(t *testing.T) {
	_, a, _ := newMemory(t)
	for range maxHashing {
		if err := a.passwords.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.CheckPassword(ctx, "alice", "correct horse"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, err := a.HashPassword(ctx, "correct horse"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	a.passwords.leave()
	if _, err := a.CheckPassword(t.Context(), "alice", "correct horse"); err != nil {
		t.Errorf("with a slot free: %v", err)
	}
}

func TestSuccessForgetsMistakes(t *testing.T) {
	m, a, _ := newMemory(t)
	for _, c := range []struct {
		password string
		want     error
		counted  int
	}{{"wrong", ErrUnauthenticated, 1}, {"wrong", ErrUnauthenticated, 2}, {"correct horse", nil, 0}} {
		if _, err := a.CheckPassword(t.Context(), "alice", c.password); !errors.Is(err, c.want) || m.attempts != c.counted {
			t.Errorf("%q: %v with %d attempts counted, want %v and %d", c.password, err, m.attempts, c.want, c.counted)
		}
	}
	m.locked = true
	if _, err := a.CheckPassword(t.Context(), "alice", "correct horse"); !errors.As(err, new(*TooMany)) || !strings.Contains(err.Error(), "15s") {
		t.Errorf("locked out: %v, want to be told to wait 15 s", err)
	}
}

// That an account is suspended is nothing to those who do not know its password.
func TestSuspendedUsersDoNotSignIn(t *testing.T) {
	m, a, _ := newMemory(t)
	m.user.SuspendedAt = new(time.Now())
	if _, err := a.CheckPassword(t.Context(), "alice", "wrong"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("wrong password: %v, want ErrUnauthenticated", err)
	}
	if _, err := a.CheckPassword(t.Context(), "alice", "correct horse"); !errors.Is(err, ErrSuspended) {
		t.Errorf("right password: %v, want ErrSuspended", err)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(referenceDigest)
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$AA")
	// What is read is written back the same, and asks for no more than a
	// machine has.
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parseDigest(s); ok && (d.String() != s || d.memory > argonMemoryMax || d.passes == 0 || d.threads == 0) {
			t.Errorf("%q: %v", s, d)
		}
	})
}

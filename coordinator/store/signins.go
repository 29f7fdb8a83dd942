package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// freeAttempts is how many wrong passwords in a day cost no waiting. Each one
// after that doubles the wait, from 15 s to 15 min.
const freeAttempts = 8

// Locked is too many wrong passwords of late.
type Locked struct {
	// For is how long it will be so.
	For time.Duration
}

func (e *Locked) Error() string { return fmt.Sprintf("too many wrong passwords; locked for %v", e.For) }

// CountLogin counts an attempt to sign in by a name, before its password is
// looked at: of many at once none goes uncounted. The error is a *Locked if there
// were too many; those that are refused do not make the wait longer.
func (s *Store) CountLogin(ctx context.Context, name string) error {
	_, err := one(ctx, "count sign-in", func(ctx context.Context) (int32, error) {
		return s.q.CountLogin(ctx, db.CountLoginParams{Name: name, Free: freeAttempts})
	})
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	left, err := one(ctx, "lock of a sign-in", func(ctx context.Context) (float64, error) { return s.q.LoginLockedFor(ctx, name) })
	if err != nil && !errors.Is(err, ErrNotFound) { // not found is that it has just ended
		return err
	}
	return &Locked{For: time.Duration(left * float64(time.Second))}
}

// ForgetLogins forgets a name's attempts: it signed in.
func (s *Store) ForgetLogins(ctx context.Context, name string) error {
	return do(ctx, "forget sign-ins", func(ctx context.Context) error { return s.q.ForgetLogins(ctx, name) })
}

// UserByIdentity finds the user whom a provider knows by a subject.
func (s *Store) UserByIdentity(ctx context.Context, issuer, subject string) (User, error) {
	u, err := one(ctx, "user by identity", func(ctx context.Context) (db.User, error) {
		return s.q.UserByIdentity(ctx, db.UserByIdentityParams{Issuer: issuer, Subject: subject})
	})
	return userFrom(u), err
}

// IssuersOf lists the providers that know a user.
func (s *Store) IssuersOf(ctx context.Context, userID uuid.UUID) ([]string, error) {
	list, err := one(ctx, "issuers of user "+userID.String(), func(ctx context.Context) ([]string, error) { return s.q.IssuersOfUser(ctx, userID) })
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return list, nil
}

// AddIdentity notes that a provider knows a user by a subject; ErrConflict if it
// knows the user by another already, or another user by this one.
func (s *Store) AddIdentity(ctx context.Context, userID uuid.UUID, issuer, subject string) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error { return addIdentity(ctx, q, userID, issuer, subject) })
	if err != nil {
		return fmt.Errorf("store: identity of user %s: %w", userID, kind(err))
	}
	return nil
}

func addIdentity(ctx context.Context, q *db.Queries, userID uuid.UUID, issuer, subject string) error {
	if _, err := q.LockUser(ctx, userID); err != nil {
		return err
	}
	has, err := q.HasIdentityOf(ctx, db.HasIdentityOfParams{UserID: userID, Issuer: issuer})
	if err != nil {
		return err
	}
	if has {
		return ErrConflict
	}
	return q.InsertIdentity(ctx, db.InsertIdentityParams{Issuer: issuer, Subject: subject, UserID: userID})
}

// CreateUserOfIdentity makes a user whom a provider knows by a subject;
// ErrConflict if the name, the address or the subject is taken.
func (s *Store) CreateUserOfIdentity(ctx context.Context, u NewUser, issuer, subject string) (User, error) {
	var made db.User
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) (err error) {
		if made, err = insertUser(ctx, q, u); err != nil {
			return err
		}
		return addIdentity(ctx, q, made.ID, issuer, subject)
	})
	if err != nil {
		return User{}, fmt.Errorf("store: create user %s: %w", u.Username, kind(err))
	}
	return userFrom(made), nil
}

// DeviceLogin is a command line that waits to be let in.
type DeviceLogin struct {
	ID         uuid.UUID
	SecretHash []byte
	// UserCode is what people compare.
	UserCode             string
	Remote               string // where it asked from
	CreatedAt, ExpiresAt time.Time
	Approved, Denied     bool
}

func deviceFrom(d db.DeviceLogin) DeviceLogin {
	return DeviceLogin{
		ID: d.ID, SecretHash: d.SecretHash, UserCode: d.UserCode, Remote: d.Remote, CreatedAt: d.CreatedAt,
		ExpiresAt: d.ExpiresAt, Approved: d.ApprovedBy.Valid, Denied: d.DeniedAt != nil,
	}
}

// CreateDeviceLogin notes a command line that waits.
func (s *Store) CreateDeviceLogin(ctx context.Context, secretHash []byte, userCode, remote string, expires time.Time) (DeviceLogin, error) {
	d, err := one(ctx, "create device login", func(ctx context.Context) (db.DeviceLogin, error) {
		return s.q.InsertDeviceLogin(ctx, db.InsertDeviceLoginParams{SecretHash: secretHash, UserCode: userCode, Remote: remote, ExpiresAt: expires})
	})
	return deviceFrom(d), err
}

// DeviceLoginByCode finds one that nobody has decided about.
func (s *Store) DeviceLoginByCode(ctx context.Context, userCode string) (DeviceLogin, error) {
	d, err := one(ctx, "device login", func(ctx context.Context) (db.DeviceLogin, error) { return s.q.DeviceLoginByCode(ctx, userCode) })
	return deviceFrom(d), err
}

// DecideDeviceLogin lets a command line in as a user, or turns it away;
// ErrNotFound if somebody has decided already.
func (s *Store) DecideDeviceLogin(ctx context.Context, userCode string, userID uuid.UUID, approve bool) error {
	return affected(ctx, "decide device login", func(ctx context.Context) (int64, error) {
		return s.q.DecideDeviceLogin(ctx, db.DecideDeviceLoginParams{UserCode: userCode, UserID: nullable(userID), Approve: approve})
	})
}

// DeviceLogin finds one that has not expired.
func (s *Store) DeviceLogin(ctx context.Context, id uuid.UUID) (DeviceLogin, error) {
	d, err := one(ctx, "device login "+id.String(), func(ctx context.Context) (db.DeviceLogin, error) { return s.q.DeviceLogin(ctx, id) })
	return deviceFrom(d), err
}

// TakeDeviceLogin ends one that was approved and returns who by; ErrNotFound if
// it is not, or was taken.
func (s *Store) TakeDeviceLogin(ctx context.Context, id uuid.UUID) (uuid.UUID, error) {
	u, err := one(ctx, "take device login "+id.String(), func(ctx context.Context) (uuid.NullUUID, error) { return s.q.TakeDeviceLogin(ctx, id) })
	return u.UUID, err
}

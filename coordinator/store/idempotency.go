package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Errors of keys that cannot be claimed.
var (
	// ErrKeyReused is a key that stands for another request.
	ErrKeyReused = errors.New("the key stands for another request")
	// ErrKeyDone is that it is done, and the answer was lost with the coordinator.
	ErrKeyDone = errors.New("done before, and the answer is lost")
)

// claimLease is how long an attempt has the key to itself: longer than any
// request may take. Then its coordinator is gone.
const claimLease = 3 * time.Minute

// Claim is an attempt to do what was asked for under a key, once.
type Claim struct {
	UserID  uuid.UUID
	KeyHash []byte
	id      uuid.UUID
}

// Answer is what was answered under a key, as it was kept.
type Answer struct {
	Status int
	Sealed []byte
}

// ClaimKey begins an attempt: the caller does what was asked for with the context
// of [WithClaim] and then calls FinishKey or, if it came to nothing, ReleaseKey.
// If it was done before, the answer is not nil. Else ErrKeyReused, ErrKeyDone, or
// ErrBusy while another attempt is at it. A key is good for a day.
func (s *Store) ClaimKey(ctx context.Context, userID uuid.UUID, keyHash, digest []byte) (Claim, *Answer, error) {
	c := Claim{UserID: userID, KeyHash: keyHash, id: uuid.New()}
	var before *Answer
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		if err := q.PruneIdempotencyKeys(ctx); err != nil {
			return err
		}
		n, err := q.InsertIdempotencyKey(ctx, db.InsertIdempotencyKeyParams{UserID: userID, KeyHash: keyHash, Claim: c.id, Digest: digest})
		if err != nil || n == 1 {
			return err
		}
		k, err := q.LockIdempotencyKey(ctx, db.LockIdempotencyKeyParams{
			UserID: userID, KeyHash: keyHash, Lease: pgtype.Interval{Microseconds: claimLease.Microseconds(), Valid: true},
		})
		switch {
		case err != nil:
			return err
		case k.Expired:
		case !bytes.Equal(k.Digest, digest):
			return ErrKeyReused
		case k.Status.Valid:
			before = &Answer{Status: int(k.Status.Int32), Sealed: k.Answer}
			return nil
		case !k.Abandoned:
			return ErrBusy
		case k.Done:
			return ErrKeyDone
		}
		return q.TakeIdempotencyKey(ctx, db.TakeIdempotencyKeyParams{Claim: c.id, Digest: digest, UserID: userID, KeyHash: keyHash})
	})
	if errors.Is(kind(err), ErrNotFound) { // released between the two statements
		err = ErrBusy
	}
	if err != nil {
		return c, nil, fmt.Errorf("store: claim a key of user %s: %w", userID, err)
	}
	return c, before, nil
}

// FinishKey keeps the answer for those who ask again.
func (s *Store) FinishKey(ctx context.Context, c Claim, a Answer) error {
	return do(ctx, "finish a key of user "+c.UserID.String(), func(ctx context.Context) error {
		return s.q.FinishIdempotencyKey(ctx, db.FinishIdempotencyKeyParams{
			Status: pgtype.Int4{Int32: int32(a.Status), Valid: true}, Answer: a.Sealed, UserID: c.UserID, KeyHash: c.KeyHash, Claim: c.id,
		})
	})
}

// ReleaseKey gives up an attempt that came to nothing, so that the next may be
// made at once. One whose transaction was committed stays.
func (s *Store) ReleaseKey(ctx context.Context, c Claim) error {
	return do(ctx, "release a key of user "+c.UserID.String(), func(ctx context.Context) error {
		return s.q.ReleaseIdempotencyKey(ctx, db.ReleaseIdempotencyKeyParams{UserID: c.UserID, KeyHash: c.KeyHash, Claim: c.id})
	})
}

type claimKey struct{}

// WithClaim makes each transaction under ctx note that the claim's request is
// done, and come to nothing if the claim is another attempt's meanwhile.
func WithClaim(ctx context.Context, c Claim) context.Context {
	return context.WithValue(ctx, claimKey{}, c)
}

// mark notes in a transaction that the request of the context's claim is done.
func mark(ctx context.Context, q *db.Queries) error {
	c, ok := ctx.Value(claimKey{}).(Claim)
	if !ok {
		return nil
	}
	n, err := q.MarkIdempotencyKey(ctx, db.MarkIdempotencyKeyParams{UserID: c.UserID, KeyHash: c.KeyHash, Claim: c.id})
	if err == nil && n == 0 {
		return ErrBusy
	}
	return err
}

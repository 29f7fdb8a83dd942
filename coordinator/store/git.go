package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// GitCredential is what a user's agents show to the git servers of an origin,
// SCHEME://HOST. Its password is sealed with a key that the store has not.
type GitCredential struct {
	UserID           uuid.UUID
	Origin, Username string
	KeyID            string
	Sealed           []byte
	CreatedAt        time.Time
	UsedAt           *time.Time // nil: not yet; to the minute
}

func gitCredentialFrom(r db.GitCredential) GitCredential {
	return GitCredential{
		UserID: r.UserID, Origin: r.Origin, Username: r.Username, KeyID: r.KeyID, Sealed: r.Sealed, CreatedAt: r.CreatedAt, UsedAt: r.UsedAt,
	}
}

// SetGitCredential keeps a credential in the place of what there was.
func (s *Store) SetGitCredential(ctx context.Context, c GitCredential) error {
	return do(ctx, "set git credential", func(ctx context.Context) error {
		return s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			return q.SetGitCredential(ctx, db.SetGitCredentialParams{
				UserID: c.UserID, Origin: c.Origin, Username: c.Username, KeyID: c.KeyID, Sealed: c.Sealed,
			})
		})
	})
}

// GitCredentials lists a user's, by origin.
func (s *Store) GitCredentials(ctx context.Context, userID uuid.UUID) ([]GitCredential, error) {
	rows, err := one(ctx, "git credentials", func(ctx context.Context) ([]db.GitCredential, error) { return s.q.GitCredentials(ctx, userID) })
	list := make([]GitCredential, 0, len(rows))
	for _, r := range rows {
		list = append(list, gitCredentialFrom(r))
	}
	return list, err
}

// UseGitCredential returns a user's for an origin and notes that it was used;
// ErrNotFound if there is none.
func (s *Store) UseGitCredential(ctx context.Context, userID uuid.UUID, origin string) (GitCredential, error) {
	r, err := one(ctx, "git credential", func(ctx context.Context) (db.GitCredential, error) {
		return s.q.GitCredential(ctx, db.GitCredentialParams{UserID: userID, Origin: origin})
	})
	if err != nil {
		return GitCredential{}, err
	}
	err = do(ctx, "git credential", func(ctx context.Context) error {
		return s.q.GitCredentialUsed(ctx, db.GitCredentialUsedParams{UserID: userID, Origin: origin})
	})
	return gitCredentialFrom(r), err
}

// DeleteGitCredential forgets one; ErrNotFound if there is none.
func (s *Store) DeleteGitCredential(ctx context.Context, userID uuid.UUID, origin string) error {
	return affected(ctx, "git credential", func(ctx context.Context) (n int64, err error) {
		err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			n, err = q.DeleteGitCredential(ctx, db.DeleteGitCredentialParams{UserID: userID, Origin: origin})
			return err
		})
		return n, err
	})
}

// ResealGitCredentials gives each credential that is sealed with another key than
// keyID to seal, and keeps what that returns.
func (s *Store) ResealGitCredentials(ctx context.Context, keyID string, seal func(GitCredential) ([]byte, error)) error {
	for {
		rows, err := one(ctx, "git credentials to reseal", func(ctx context.Context) ([]db.GitCredential, error) {
			return s.q.GitCredentialsSealedOtherwise(ctx, keyID)
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			sealed, err := seal(gitCredentialFrom(r))
			if err != nil {
				return err
			}
			if err := do(ctx, "reseal git credential", func(ctx context.Context) error {
				return s.q.ResealGitCredential(ctx, db.ResealGitCredentialParams{
					UserID: r.UserID, Origin: r.Origin, KeyID: keyID, Sealed: sealed, OldKeyID: r.KeyID,
				})
			}); err != nil {
				return err
			}
		}
	}
}

// Dotfiles are the repository that makes a user's workspaces theirs.
type Dotfiles struct{ URL, Ref string }

// SetDotfiles keeps where a user's dotfiles are; an empty URL is nowhere.
func (s *Store) SetDotfiles(ctx context.Context, userID uuid.UUID, d Dotfiles) error {
	return do(ctx, "set dotfiles", func(ctx context.Context) error {
		if d.URL == "" {
			return s.q.DeleteDotfiles(ctx, userID)
		}
		return s.q.SetDotfiles(ctx, db.SetDotfilesParams{UserID: userID, Url: d.URL, Ref: d.Ref})
	})
}

// DotfilesOf returns a user's; an empty URL if there are none.
func (s *Store) DotfilesOf(ctx context.Context, userID uuid.UUID) (Dotfiles, error) {
	rows, err := one(ctx, "dotfiles", func(ctx context.Context) ([]db.Dotfile, error) { return s.q.DotfilesOf(ctx, userID) })
	if err != nil || len(rows) == 0 {
		return Dotfiles{}, err
	}
	return Dotfiles{URL: rows[0].Url, Ref: rows[0].Ref}, nil
}

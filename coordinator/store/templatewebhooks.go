package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// TemplateWebhook is where a template's files come from when somebody pushes to a
// repository.
type TemplateWebhook struct {
	ID, TemplateID uuid.UUID
	Template       string // its name
	OrganizationID uuid.UUID
	// URL is the repository's, Branch is followed, and Directory is where the template is
	// in it.
	URL, Branch, Directory string
	Promote                bool // make what was imported the active version
	// Secret is what the forge signs with, sealed with the key of KeyID.
	Secret    []byte
	KeyID     string
	CreatorID uuid.UUID
	Creator   string // user name
	CreatedAt time.Time
	// PushedAt is when a push was last told of, DueAt when it is to be fetched and
	// FetchedAt when that was last tried; nil is never.
	PushedAt, DueAt, FetchedAt *time.Time
	// Tries is how often in a row that failed, Problem why, and Commit what was fetched
	// last.
	Tries   int
	Problem string
	Commit  string
}

func templateWebhookFrom(w db.TemplateWebhook, creator string, organization uuid.UUID) TemplateWebhook {
	return TemplateWebhook{
		ID: w.ID, TemplateID: w.TemplateID, Template: w.Name, OrganizationID: organization, URL: w.Url, Branch: w.Branch, Directory: w.Directory,
		Promote: w.Promote, Secret: w.Secret, KeyID: w.KeyID, CreatorID: w.CreatedBy, Creator: creator, CreatedAt: w.CreatedAt,
		PushedAt: w.PushedAt, DueAt: w.DueAt, FetchedAt: w.FetchedAt, Tries: int(w.Tries), Problem: w.Problem, Commit: w.Commit,
	}
}

// CreateTemplateWebhook makes a template's webhook; ErrConflict if it has one,
// ErrNotFound if there is no such template.
func (s *Store) CreateTemplateWebhook(ctx context.Context, n TemplateWebhook) (TemplateWebhook, error) {
	_, err := oneTx(ctx, s, "create webhook of template "+n.TemplateID.String(), func(ctx context.Context, q *db.Queries) (uuid.UUID, error) {
		return q.InsertTemplateWebhook(ctx, db.InsertTemplateWebhookParams{
			ID: n.ID, TemplateID: n.TemplateID, Url: n.URL, Branch: n.Branch, Directory: n.Directory, Promote: n.Promote,
			KeyID: n.KeyID, Secret: n.Secret, CreatedBy: n.CreatorID,
		})
	})
	if err != nil {
		return TemplateWebhook{}, err
	}
	return s.TemplateWebhook(ctx, n.ID)
}

// TemplateWebhook finds a webhook of a template.
func (s *Store) TemplateWebhook(ctx context.Context, id uuid.UUID) (TemplateWebhook, error) {
	r, err := one(ctx, "webhook "+id.String(), func(ctx context.Context) (db.TemplateWebhookRow, error) { return s.q.TemplateWebhook(ctx, id) })
	return templateWebhookFrom(r.TemplateWebhook, r.Creator, r.OrganizationID), err
}

// TemplateWebhookOf finds the webhook of a template.
func (s *Store) TemplateWebhookOf(ctx context.Context, templateID uuid.UUID) (TemplateWebhook, error) {
	r, err := one(ctx, "webhook of template "+templateID.String(), func(ctx context.Context) (db.TemplateWebhookOfRow, error) {
		return s.q.TemplateWebhookOf(ctx, templateID)
	})
	return templateWebhookFrom(r.TemplateWebhook, r.Creator, r.OrganizationID), err
}

// DeleteTemplateWebhook deletes a template's webhook; ErrNotFound if it has none.
func (s *Store) DeleteTemplateWebhook(ctx context.Context, templateID uuid.UUID) error {
	return affected(ctx, "delete webhook of template "+templateID.String(), func(ctx context.Context) (n int64, err error) {
		err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			n, err = q.DeleteTemplateWebhook(ctx, templateID)
			return err
		})
		return n, err
	})
}

// TemplateWebhookPushed notes that there may be something to fetch, at once or pause
// after the last time; ErrNotFound if there is no such webhook.
func (s *Store) TemplateWebhookPushed(ctx context.Context, id uuid.UUID, pause time.Duration) error {
	return affected(ctx, "push for webhook "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.TemplateWebhookPushed(ctx, db.TemplateWebhookPushedParams{ID: id, Pause: pause.Seconds()})
	})
}

// LeaseTemplateWebhook returns a webhook for which something is to be fetched now, for
// its caller alone for a while; ErrNotFound if there is none.
func (s *Store) LeaseTemplateWebhook(ctx context.Context, lease time.Duration) (TemplateWebhook, error) {
	id, err := one(ctx, "lease a template's webhook", func(ctx context.Context) (uuid.UUID, error) {
		return s.q.LeaseTemplateWebhook(ctx, lease.Seconds())
	})
	if err != nil {
		return TemplateWebhook{}, err
	}
	return s.TemplateWebhook(ctx, id)
}

// TemplateWebhookFetched notes what came of fetching for a webhook that was leased, with
// its Tries, Problem and Commit as they are now. If somebody has pushed since it was
// leased, it is fetched once more after pause, and else after again; zero is not.
func (s *Store) TemplateWebhookFetched(ctx context.Context, w TemplateWebhook, pause, again time.Duration) error {
	return do(ctx, "fetched for webhook "+w.ID.String(), func(ctx context.Context) error {
		return s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			return q.TemplateWebhookFetched(ctx, db.TemplateWebhookFetchedParams{
				ID: w.ID, Tries: int32(w.Tries), Problem: w.Problem, Commit: w.Commit, Seen: w.PushedAt, Pause: pause.Seconds(), Again: again.Seconds(),
			})
		})
	})
}

// ResealTemplateWebhooks gives each webhook of a template whose secret is sealed with
// another key than keyID to seal, and keeps what that returns.
func (s *Store) ResealTemplateWebhooks(ctx context.Context, keyID string, seal func(TemplateWebhook) ([]byte, error)) error {
	for {
		rows, err := one(ctx, "webhooks of templates to reseal", func(ctx context.Context) ([]db.TemplateWebhooksSealedOtherwiseRow, error) {
			return s.q.TemplateWebhooksSealedOtherwise(ctx, keyID)
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			sealed, err := seal(TemplateWebhook{ID: r.ID, KeyID: r.KeyID, Secret: r.Secret})
			if err != nil {
				return err
			}
			if err := do(ctx, "reseal webhook "+r.ID.String(), func(ctx context.Context) error {
				return s.q.ResealTemplateWebhook(ctx, db.ResealTemplateWebhookParams{ID: r.ID, KeyID: keyID, Secret: sealed, OldKeyID: r.KeyID})
			}); err != nil {
				return err
			}
		}
	}
}

// LiveUser returns a user who is neither suspended nor deleted, as a token of theirs
// that may do all that they may would.
func (s *Store) LiveUser(ctx context.Context, id uuid.UUID) (LiveToken, error) {
	r, err := one(ctx, "user "+id.String(), func(ctx context.Context) (db.LiveUserRow, error) { return s.q.LiveUser(ctx, id) })
	if err != nil {
		return LiveToken{}, err
	}
	t := LiveToken{Token: Token{UserID: id}, Username: r.Username, Role: Role(r.Role)}
	if err := json.Unmarshal(r.Organizations, &t.Organizations); err != nil {
		return LiveToken{}, fmt.Errorf("store: organizations of user %s: %w", id, err)
	}
	return t, nil
}

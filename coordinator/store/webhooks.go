package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// maxWebhooks bounds how many there are: each is a goroutine and a queue.
const maxWebhooks = 100

// ErrTooMany is that there are as many as there may be.
var ErrTooMany = errors.New("there are as many as there may be")

// Webhook gets the events of some kinds.
type Webhook struct {
	ID        uuid.UUID
	Name, URL string
	// Secret is what deliveries are signed with, sealed with the key of KeyID, which
	// the store has not. Without an id it is from before secrets were sealed.
	Secret    []byte
	KeyID     string
	Kinds     []string
	CreatedAt time.Time
	// Pending and Dead are how many deliveries wait, and how many were given up.
	Pending, Dead int
}

// Statuses of deliveries.
const (
	DeliveryPending   = "pending"
	DeliveryDelivered = "delivered"
	DeliveryDead      = "dead"
)

// Delivery is one event on its way to a webhook.
type Delivery struct {
	ID        int64
	WebhookID uuid.UUID
	Version   int64
	// Event is its kind and action: workspace.created.
	Event      string
	Payload    []byte
	Status     string
	Attempts   int
	NextAt     time.Time // of the next attempt, while it is pending
	Answer     int       // HTTP status of the last attempt; 0 is none
	Error      string    // of the last attempt
	CreatedAt  time.Time
	FinishedAt *time.Time
}

func webhookFrom(w db.Webhook) Webhook {
	return Webhook{ID: w.ID, Name: w.Name, URL: w.Url, Secret: w.Secret, KeyID: w.KeyID, Kinds: w.Kinds, CreatedAt: w.CreatedAt}
}

func deliveryFrom(d db.WebhookDelivery) Delivery {
	return Delivery{
		ID: d.ID, WebhookID: d.WebhookID, Version: d.Version, Event: d.Event, Payload: d.Payload, Status: d.Status,
		Attempts: int(d.Attempts), NextAt: d.NextAt, Answer: int(d.Answer), Error: d.Error, CreatedAt: d.CreatedAt, FinishedAt: d.FinishedAt,
	}
}

// CreateWebhook makes a webhook, which gets what happens from now on;
// ErrConflict if the name is taken, ErrTooMany if there are too many.
func (s *Store) CreateWebhook(ctx context.Context, n Webhook, creator uuid.UUID) (Webhook, error) {
	var made db.Webhook
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		there, err := q.CountWebhooks(ctx)
		if err != nil {
			return err
		}
		if there >= maxWebhooks {
			return ErrTooMany
		}
		made, err = q.InsertWebhook(ctx, db.InsertWebhookParams{
			ID: n.ID, Name: n.Name, Url: n.URL, Secret: n.Secret, KeyID: n.KeyID, Kinds: n.Kinds, CreatedBy: nullable(creator),
		})
		return err
	})
	if err != nil {
		return Webhook{}, fmt.Errorf("store: create webhook %s: %w", n.Name, kind(err))
	}
	return webhookFrom(made), nil
}

// ResealWebhooks gives each webhook whose secret is not sealed with the key of this
// id to seal, and keeps what that returns. It returns how many there were.
func (s *Store) ResealWebhooks(ctx context.Context, keyID string, seal func(Webhook) ([]byte, error)) (int, error) {
	rows, err := one(ctx, "webhooks to reseal", func(ctx context.Context) ([]db.Webhook, error) {
		return s.q.WebhooksSealedOtherwise(ctx, keyID)
	})
	if err != nil {
		return 0, err
	}
	for i, r := range rows {
		sealed, err := seal(webhookFrom(r))
		if err != nil {
			return i, fmt.Errorf("store: reseal webhook %s: %w", r.Name, err)
		}
		if err := do(ctx, "reseal webhook "+r.Name, func(ctx context.Context) error {
			return s.q.ResealWebhook(ctx, db.ResealWebhookParams{ID: r.ID, KeyID: keyID, Secret: sealed, OldKeyID: r.KeyID})
		}); err != nil {
			return i, err
		}
	}
	return len(rows), nil
}

// Webhooks lists the webhooks by name.
func (s *Store) Webhooks(ctx context.Context, p Page) ([]Webhook, error) {
	rows, err := one(ctx, "webhooks", func(ctx context.Context) ([]db.WebhooksRow, error) {
		return s.q.Webhooks(ctx, db.WebhooksParams{After: strings.ToLower(p.after(0)), Name: p.Name, Max: int32(p.Max)})
	})
	list := make([]Webhook, 0, len(rows))
	for _, r := range rows {
		list = append(list, Webhook{
			ID: r.ID, Name: r.Name, URL: r.Url, Secret: r.Secret, KeyID: r.KeyID, Kinds: r.Kinds, CreatedAt: r.CreatedAt, Pending: int(r.Pending), Dead: int(r.Dead),
		})
	}
	return list, err
}

// WebhookByName finds a webhook, in any case.
func (s *Store) WebhookByName(ctx context.Context, name string) (Webhook, error) {
	w, err := one(ctx, "webhook "+name, func(ctx context.Context) (db.Webhook, error) { return s.q.WebhookByName(ctx, name) })
	return webhookFrom(w), err
}

// DeleteWebhook deletes a webhook with its deliveries.
func (s *Store) DeleteWebhook(ctx context.Context, name string) error {
	return affected(ctx, "delete webhook "+name, func(ctx context.Context) (int64, error) { return s.q.DeleteWebhook(ctx, name) })
}

// LeaseWebhooks returns the webhooks that a coordinator is to deliver to for a
// while: those that it had and those that nobody has.
func (s *Store) LeaseWebhooks(ctx context.Context, by uuid.UUID, lease time.Duration) ([]Webhook, error) {
	rows, err := one(ctx, "lease webhooks", func(ctx context.Context) ([]db.Webhook, error) {
		return s.q.LeaseWebhooks(ctx, db.LeaseWebhooksParams{LeasedBy: nullable(by), Lease: lease.Seconds()})
	})
	list := make([]Webhook, 0, len(rows))
	for _, w := range rows {
		list = append(list, webhookFrom(w))
	}
	return list, err
}

// NextDelivery returns the oldest delivery of a webhook that waits. If none
// does, those of the next events are made, limit at most, as payload says;
// ErrNotFound if there are none. ErrNotFound, too, if the webhook is not leased
// to by.
func (s *Store) NextDelivery(ctx context.Context, webhookID, by uuid.UUID, limit int, payload func(Event) ([]byte, error)) (Delivery, error) {
	var next db.WebhookDelivery
	none := false
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		w, err := q.LockLeasedWebhook(ctx, db.LockLeasedWebhookParams{ID: webhookID, LeasedBy: nullable(by)})
		if err != nil {
			return err
		}
		next, err = q.NextDelivery(ctx, webhookID)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		// Read first: what comes later is above it.
		newest, err := q.NewestEvent(ctx)
		if err != nil {
			return err
		}
		if newest == w.Cursor {
			return pgx.ErrNoRows
		}
		events, err := q.EventsForWebhook(ctx, db.EventsForWebhookParams{After: w.Cursor, Kinds: w.Kinds, Page: int32(limit)})
		if err != nil {
			return err
		}
		for _, e := range events {
			body, err := payload(eventFrom(e))
			if err != nil {
				return err
			}
			if err := q.InsertDelivery(ctx, db.InsertDeliveryParams{WebhookID: webhookID, Version: e.Version, Event: e.Kind + "." + e.Action, Payload: body}); err != nil {
				return err
			}
		}
		cursor := newest // none of the others is wanted
		if len(events) > 0 {
			cursor = max(events[len(events)-1].Version, w.Cursor)
		}
		if err := q.SetWebhookCursor(ctx, db.SetWebhookCursorParams{ID: webhookID, Cursor: cursor}); err != nil {
			return err
		}
		next, err = q.NextDelivery(ctx, webhookID)
		if errors.Is(err, pgx.ErrNoRows) {
			none, err = true, nil // the cursor is to be kept
		}
		return err
	})
	if err == nil && none {
		err = ErrNotFound
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("store: next delivery of webhook %s: %w", webhookID, kind(err))
	}
	return deliveryFrom(next), nil
}

// DeliveryTried notes what came of an attempt. A delivery that is still pending
// is tried again after wait.
func (s *Store) DeliveryTried(ctx context.Context, id int64, status string, answer int, problem string, wait time.Duration) error {
	return do(ctx, fmt.Sprintf("attempt at delivery %d", id), func(ctx context.Context) error {
		return s.q.DeliveryTried(ctx, db.DeliveryTriedParams{ID: id, Status: status, Answer: int32(answer), Error: problem, Wait: wait.Seconds()})
	})
}

// Deliveries returns deliveries of a webhook, the newest first: those of a
// status, "" is any, whose id is below before; zero is the newest.
func (s *Store) Deliveries(ctx context.Context, webhookID uuid.UUID, status string, before int64, limit int) ([]Delivery, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	rows, err := one(ctx, "deliveries of webhook "+webhookID.String(), func(ctx context.Context) ([]db.WebhookDelivery, error) {
		return s.q.Deliveries(ctx, db.DeliveriesParams{WebhookID: webhookID, BeforeID: before, Status: status, Page: int32(limit)})
	})
	list := make([]Delivery, 0, len(rows))
	for _, d := range rows {
		list = append(list, deliveryFrom(d))
	}
	return list, err
}

// maxPending bounds what people may have delivered again at once.
const maxPending = 1000

// Redeliver queues a delivery of a webhook that is over once more, behind those
// that wait; ErrNotFound if it is pending or there is none.
func (s *Store) Redeliver(ctx context.Context, webhookID uuid.UUID, id int64) (Delivery, error) {
	return oneTx(ctx, s, fmt.Sprintf("redeliver %d", id), func(ctx context.Context, q *db.Queries) (Delivery, error) {
		n, err := q.CountPending(ctx, webhookID)
		if err != nil {
			return Delivery{}, err
		}
		if n >= maxPending {
			return Delivery{}, ErrTooMany
		}
		d, err := q.Redeliver(ctx, db.RedeliverParams{ID: id, WebhookID: webhookID})
		if err != nil {
			return Delivery{}, err
		}
		return deliveryFrom(d), q.NoteRedelivery(ctx, webhookID)
	})
}

// PruneDeliveries forgets deliveries that were over before a time, and of each
// webhook all but the newest.
func (s *Store) PruneDeliveries(ctx context.Context, before time.Time, keep int) (int64, error) {
	return one(ctx, "prune deliveries", func(ctx context.Context) (int64, error) {
		return s.q.PruneDeliveries(ctx, db.PruneDeliveriesParams{Before: &before, Keep: int32(keep)})
	})
}

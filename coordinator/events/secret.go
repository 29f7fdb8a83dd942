package events

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
)

// bound is what a webhook's sealed secret is good for, and nothing else.
func bound(id uuid.UUID) []byte { return []byte("adit webhook\x00" + id.String()) }

// Seal fills in the secret that a new webhook signs with.
func Seal(keys *seal.Keys, w *store.Webhook, secret string) {
	w.ID = uuid.New()
	w.Secret, w.KeyID = keys.Seal([]byte(secret), bound(w.ID)), keys.Current()
}

// openSecret returns the secret that a webhook signs with.
func openSecret(keys *seal.Keys, w store.Webhook) (string, error) {
	if w.KeyID == "" {
		return string(w.Secret), nil // from before secrets were sealed
	}
	text, err := keys.Open(w.KeyID, w.Secret, bound(w.ID))
	if err != nil {
		return "", fmt.Errorf("secret of webhook %s: %w", w.Name, err)
	}
	return string(text), nil
}

// Reseal seals the secrets of all webhooks that are not sealed, or with an older
// key, with the first one, and returns how many there were.
func Reseal(ctx context.Context, st *store.Store, keys *seal.Keys) (int, error) {
	return st.ResealWebhooks(ctx, keys.Current(), func(w store.Webhook) ([]byte, error) {
		text, err := openSecret(keys, w)
		if err != nil {
			return nil, err
		}
		return keys.Seal([]byte(text), bound(w.ID)), nil
	})
}

package workspaces

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/forge"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
)

// A template may follow a branch of a repository: its forge posts to a webhook when
// somebody has pushed, and what is there then is fetched and becomes a version. What is
// posted says only that there may be something new, so that it does no harm to hear it
// twice, late, or from somebody who has recorded it.

const (
	// followSecretPrefix tells people, and scanners for leaked secrets, what they found.
	followSecretPrefix = "adit_push_"

	// fetchers is how many repositories are fetched from at once.
	fetchers = 2

	// fetchEvery is how often it is looked for what another coordinator was told of, or
	// was to be tried again.
	fetchEvery = 5 * time.Second

	// fetchPause is the least time between two fetches for one template: pushes come in
	// bursts, and whoever has recorded one can send it again and again.
	fetchPause = 10 * time.Second

	// fetchLease is longer than a fetch takes, and what comes after it.
	fetchLease = 4 * time.Minute

	// A fetch that fails is tried again after a pause that doubles, and given up after
	// some minutes: the next push tries again, and so does its forge when it is asked to.
	fetchTries    = 5
	fetchRetryMin = 15 * time.Second
)

// FollowTemplate makes a template follow a branch. What w has of its template, its
// source and its creator is taken, and the first fetch is at once. It returns the secret
// that the forge has to sign with, which cannot be read again. The error is a
// *[BadInput], or matches store.ErrConflict if it follows one.
func (s *Service) FollowTemplate(ctx context.Context, w store.TemplateWebhook) (store.TemplateWebhook, string, error) {
	if err := s.source(w).Check(); err != nil {
		return w, "", badInput("%v", err)
	}
	text, _ := secret.New()
	text = followSecretPrefix + text
	w.ID = uuid.New()
	w.KeyID, w.Secret = s.cfg.Keys.Current(), s.cfg.Keys.Seal([]byte(text), followBound(w.ID))
	w, err := s.store.CreateTemplateWebhook(ctx, w)
	if err != nil {
		return w, "", err
	}
	return w, text, s.fetchSoon(ctx, w.ID)
}

// fetchSoon has a webhook's repository looked at.
func (s *Service) fetchSoon(ctx context.Context, id uuid.UUID) error {
	if err := s.store.TemplateWebhookPushed(ctx, id, fetchPause); err != nil {
		return err
	}
	poke(s.pushes)
	return nil
}

// Pushed takes what a forge posts. It returns why there is nothing to do; "" if there
// may be. Errors match forge.ErrUnsigned and forge.ErrForm where the forge is to blame.
func (s *Service) Pushed(ctx context.Context, w store.TemplateWebhook, h http.Header, body []byte) (why string, err error) {
	text, err := s.cfg.Keys.Open(w.KeyID, w.Secret, followBound(w.ID))
	if err != nil {
		return "", fmt.Errorf("workspaces: secret of the webhook of template %s: %w", w.Template, err)
	}
	branch, err := forge.Read(h, body, string(text))
	switch {
	case err != nil:
		return "", err
	case branch == "":
		return "it is no push to a branch", nil
	case branch != w.Branch:
		return fmt.Sprintf("it is a push to %s, and the template follows %s", foreign.Clip(foreign.Printable(branch), 100), w.Branch), nil
	}
	return "", s.fetchSoon(ctx, w.ID)
}

// followBound is what a sealed secret is good for, and nothing else.
func followBound(id uuid.UUID) []byte { return []byte("adit template webhook\x00" + id.String()) }

// resealFollowed is Reseal for what forges sign with.
func (s *Service) resealFollowed(ctx context.Context) error {
	keys := s.cfg.Keys
	return s.store.ResealTemplateWebhooks(ctx, keys.Current(), func(w store.TemplateWebhook) ([]byte, error) {
		text, err := keys.Open(w.KeyID, w.Secret, followBound(w.ID))
		if err != nil {
			return nil, fmt.Errorf("workspaces: secret of webhook %s: %w", w.ID, err)
		}
		return keys.Seal(text, followBound(w.ID)), nil
	})
}

// source is where a webhook's files are, without a password.
func (s *Service) source(w store.TemplateWebhook) forge.Source {
	return forge.Source{URL: w.URL, Branch: w.Branch, Dir: w.Directory, Private: s.cfg.PrivateRepositories}
}

// follow fetches what is due, until ctx is done.
func (s *Service) follow(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, fetchers)
	tick := time.NewTicker(fetchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.pushes:
		}
		for ctx.Err() == nil {
			slots <- struct{}{}
			w, err := s.store.LeaseTemplateWebhook(ctx, fetchLease)
			if err != nil {
				<-slots
				if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
					s.log.DebugContext(ctx, "what was pushed has to wait", "err", err)
				}
				break
			}
			wg.Go(func() {
				defer func() { <-slots }()
				s.fetchOne(ctx, w)
			})
		}
	}
}

// fetchOne fetches for one webhook and notes what came of it.
func (s *Service) fetchOne(ctx context.Context, w store.TemplateWebhook) {
	bounded, cancel := context.WithTimeout(ctx, fetchLease)
	defer cancel()
	var again time.Duration
	err := s.pull(bounded, &w)
	switch {
	case err == nil:
		w.Tries, w.Problem = 0, ""
	case ctx.Err() != nil: // the coordinator ends; another takes it up
		return
	default:
		w.Tries, w.Problem = w.Tries+1, foreign.Clip(foreign.Printable(err.Error()), maxReason)
		if w.Tries < fetchTries {
			again = fetchRetryMin << (w.Tries - 1)
		}
		s.log.WarnContext(ctx, "what was pushed for a template could not be fetched", "template", w.Template, "try", w.Tries, "err", err)
	}
	if err := s.store.TemplateWebhookFetched(ctx, w, fetchPause, again); err != nil {
		s.log.WarnContext(ctx, "what came of a push is not written down", "template", w.Template, "err", err)
	}
}

// pull makes a version of what a webhook's repository has, unless the newest has the same
// files. It does no more than whoever made the webhook may.
func (s *Service) pull(ctx context.Context, w *store.TemplateWebhook) error {
	who, err := s.store.LiveUser(ctx, w.CreatorID)
	may := err == nil && auth.Allowed(auth.OfToken(who), auth.Update, auth.Object{
		Type: auth.Template, Instance: true, ID: w.TemplateID, Name: w.Template, Organization: w.OrganizationID,
	})
	if !may && (err == nil || errors.Is(err, store.ErrNotFound)) {
		return fmt.Errorf("%s, who made the webhook, may not change the template any more; delete it and make another", w.Creator)
	}
	if err != nil {
		return err
	}
	from := s.source(*w)
	if from.Username, from.Password, err = s.gitCredential(ctx, w.CreatorID, from.Origin()); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	got, err := forge.Fetch(ctx, from)
	if err != nil {
		return err
	}
	newest, err := s.store.TemplateVersions(ctx, w.TemplateID, store.BuildQuery{Max: 1})
	if err != nil {
		return err
	}
	w.Commit = got.Commit
	push := Push{
		Template: w.Template, Message: got.Message, Archive: got.Archive,
		CreatorID: w.CreatorID, OrganizationID: w.OrganizationID, Activate: w.Promote, Tests: true,
	}
	if len(newest) > 0 {
		if digest := sha256.Sum256(got.Archive); bytes.Equal(digest[:], newest[0].Digest) {
			return nil
		}
		push.Tags, push.Variables = newest[0].Tags, newest[0].Variables
	}
	v, err := s.PushTemplate(ctx, push)
	if err == nil {
		s.log.InfoContext(ctx, "template pushed by its repository", "template", w.Template, "version", v.Number, "commit", w.Commit)
	}
	return err
}

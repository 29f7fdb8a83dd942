package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// With a workspace goes all access to it: the old owner's, that of those whom they
// let in, and that of the agent which they started.
func TestATransferredWorkspaceIsItsNewOwnersAlone(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob, carol := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember), d.add(t, "carol", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	if err := alice.ShareWithUser(ctx, "me", "dev", "carol", sdk.ShareAdmin); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"to nobody":   alice.OfferWorkspace(ctx, "me", "dev", "nobody"),
		"to oneself":  alice.OfferWorkspace(ctx, "me", "dev", "alice"),
		"to a button": alice.OfferWorkspace(ctx, "me", "dev", "a\x00b"),
	} {
		if status(err) != http.StatusUnprocessableEntity {
			t.Errorf("offered %s: %v, want 422", name, err)
		}
	}
	if err := carol.OfferWorkspace(ctx, "alice", "dev", "carol"); status(err) != http.StatusForbidden {
		t.Errorf("carol, who administers it, takes it: %v, want 403", err)
	}
	if err := alice.OfferWorkspace(ctx, "me", "dev", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := carol.AcceptOffer(ctx, made.ID, ""); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("carol accepts what is offered to bob: %v, want ErrNotFound", err)
	}
	if _, err := bob.Workspace(ctx, "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("bob sees it before he accepts: %v, want ErrNotFound", err)
	}
	offers, err := bob.Offers(ctx)
	if err != nil || len(offers) != 1 || offers[0].Owner != "alice" || offers[0].Name != "dev" {
		t.Fatalf("offers: %+v, %v", offers, err)
	}
	makeWorkspace(t, bob, "dev")
	if _, err := bob.AcceptOffer(ctx, offers[0].ID, ""); !errors.Is(err, sdk.ErrConflict) ||
		err.Error() != "there is a workspace dev already among those of its owner; choose another name" {
		t.Errorf("accepted under a name that is taken: %v", err)
	}
	got, err := bob.AcceptOffer(ctx, offers[0].ID, "devbox")
	if err != nil || got.ID != made.ID || got.Owner != "bob" || got.Name != "devbox" || got.AgentToken == "" {
		t.Fatalf("accepted %+v, %v", got, err)
	}
	for name, c := range map[string]*sdk.Client{"alice": alice, "carol": carol} {
		if _, err := c.Workspace(ctx, "bob", "devbox"); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s still sees it: %v, want ErrNotFound", name, err)
		}
	}
	id := uuid.MustParse(made.Agents[0].ID)
	if !slices.Contains(d.revoked.agents, id) {
		t.Errorf("cut off %v, want the agent %v", d.revoked.agents, id)
	}
	if _, err := d.auth.Authenticate(ctx, made.AgentToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the old agent's token: %v, want ErrUnauthenticated", err)
	}
	if who, err := d.auth.Authenticate(ctx, got.AgentToken); err != nil || who.AgentID != id {
		t.Errorf("the new agent's token is %+v's, %v", who, err)
	}
	if _, err := bob.AcceptOffer(ctx, offers[0].ID, ""); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("accepted twice: %v, want ErrNotFound", err)
	}
	makeWorkspace(t, alice, "dev") // the name is free again
}

func TestOffersAreTakenBackAndDeclined(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	for name, end := range map[string]func() error{
		"taken back": func() error { return alice.CancelOffer(ctx, "me", "dev") },
		"declined":   func() error { return bob.DeclineOffer(ctx, made.ID) },
	} {
		if err := alice.OfferWorkspace(ctx, "me", "dev", "bob"); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := end(); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s twice: %v, want ErrNotFound", name, err)
		}
		if _, err := bob.AcceptOffer(ctx, made.ID, ""); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s, and accepted: %v, want ErrNotFound", name, err)
		}
	}
}

// An owner of the deployment takes what somebody left behind, and sees nothing of
// it before.
func TestWhatALeaverHasIsTakenByAnOwner(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob, root := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember), d.add(t, "root", store.RoleOwner)
	made := makeWorkspace(t, alice, "dev")
	if err := bob.OfferWorkspace(ctx, "alice", "dev", "me"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("bob takes it: %v, want ErrNotFound", err)
	}
	if err := root.OfferWorkspace(ctx, "alice", "dev", "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Workspace(ctx, "alice", "dev"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("the owner sees it: %v, want ErrNotFound", err)
	}
	if w, err := root.AcceptOffer(ctx, made.ID, ""); err != nil || w.Owner != "root" {
		t.Errorf("taken: %+v, %v", w, err)
	}
}

// What a template makes is transferred while it is stopped, and of two who accept
// at once, or one who does twice, one does.
func TestTransferOfWhatATemplateMakes(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	l, err := root.TemplateLimits(ctx, "process")
	if err != nil {
		t.Fatal(err)
	}
	l.Cost = 3
	if _, err := root.SetTemplateLimits(ctx, "process", l); err != nil {
		t.Fatal(err)
	}
	w, job := start(t, alice, p, "dev", nil)
	if err := alice.OfferWorkspace(ctx, "me", "dev", "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AcceptOffer(ctx, w.ID, ""); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("accepted during a build: %v, want ErrConflict", err)
	}
	p.planned(job, &provisionerv1.Agent{Name: "main"})
	p.finish(job, &provisionerv1.Result{})
	if _, err := bob.AcceptOffer(ctx, w.ID, ""); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("accepted while it runs: %v, want 422", err)
	}
	if _, err := alice.CreateBuild(ctx, "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStop}); err != nil {
		t.Fatal(err)
	}
	job = p.job()
	p.planned(job)
	p.finish(job, &provisionerv1.Result{})
	if err := root.SetQuota(ctx, sdk.Quota{User: "bob", Budget: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AcceptOffer(ctx, w.ID, ""); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("accepted beyond the quota: %v, want ErrConflict", err)
	}
	if err := root.DeleteQuota(ctx, sdk.Quota{User: "bob"}); err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 4)
	for range cap(results) {
		go func(ctx context.Context) {
			_, err := bob.AcceptOffer(ctx, w.ID, "")
			results <- err
		}(ctx)
	}
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else if !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("the loser is told %v, want ErrNotFound", err)
		}
	}
	if won != 1 {
		t.Errorf("%d accepted it, want 1", won)
	}
	if _, err := bob.CreateBuild(ctx, "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStart}); err != nil {
		t.Fatal(err)
	}
	if job := p.job(); job.GetBuild().GetOwnerName() != "bob" {
		t.Errorf("the build is %s's, want bob's", job.GetBuild().GetOwnerName())
	}
}

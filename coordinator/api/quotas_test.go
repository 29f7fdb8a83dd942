package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// Of many at once as many are made as there is room for; the others learn why.
func TestQuotasHoldHoweverManyAskAtOnce(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
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
	if err := alice.SetQuota(ctx, sdk.Quota{User: "alice", Budget: 1000}); status(err) != http.StatusForbidden {
		t.Errorf("a member sets her own quota: %v, want 403", err)
	}
	if _, err := alice.Quotas(ctx); status(err) != http.StatusForbidden {
		t.Errorf("a member lists quotas: %v, want 403", err)
	}
	if err := root.SetQuota(ctx, sdk.Quota{User: "alice", Budget: 7}); err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 6)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		go func(ctx context.Context) {
			_, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, Template: "process"})
			results <- err
		}(ctx)
	}
	made := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			made++
		case !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "may cost 7 together and cost 6, and this one costs 3"):
			t.Errorf("the loser is told %v", err)
		}
	}
	if u, err := alice.Usage(ctx, ""); made != 2 || err != nil || u.Used != 6 || u.Budget == nil || *u.Budget != 7 {
		t.Errorf("%d were made, and the usage is %+v, %v; want 2 and 6 of 7", made, u, err)
	}
	makeWorkspace(t, alice, "external") // costs nothing
	if err := root.DeleteQuota(ctx, sdk.Quota{User: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "more", Template: "process"}); err != nil {
		t.Errorf("without a quota: %v", err)
	}
	if err := root.SetQuota(ctx, sdk.Quota{Group: "nobody", Budget: 7}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("quota of no group: %v, want ErrNotFound", err)
	}
}

func TestFavouritesAreOnesOwn(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	if err := bob.SetFavourite(ctx, "alice", "dev", true); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("what bob may not see: %v, want ErrNotFound", err)
	}
	if err := alice.ShareWithUser(ctx, "me", "dev", "bob", sdk.ShareApps); err != nil {
		t.Fatal(err)
	}
	for _, is := range []bool{true, true, false, false} {
		if err := bob.SetFavourite(ctx, "alice", "dev", is); err != nil {
			t.Fatal(err)
		}
		w, err := bob.Workspace(ctx, "alice", "dev")
		if err != nil || w.Favourite != is {
			t.Errorf("bob's favourite is %t, %v, want %t", w.Favourite, err, is)
		}
		if w, err := alice.Workspace(ctx, "me", "dev"); err != nil || w.Favourite {
			t.Errorf("alice's: %t, %v", w.Favourite, err)
		}
	}
}

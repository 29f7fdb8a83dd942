package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func code(err error) string {
	var e *sdk.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestWhoeverAsksAgainGetsTheSameAnswer(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	keyed := func() context.Context { return sdk.WithIdempotencyKey(t.Context(), uuid.NewString()) }

	ctx := keyed()
	w, err := root.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	again, err2 := root.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true})
	if err != nil || err2 != nil || w.ID != again.ID || w.AgentToken == "" || w.AgentToken != again.AgentToken {
		t.Errorf("workspace: %+v, %v; again: %+v, %v", w, err, again, err2)
	}
	ctx = keyed()
	tok, err := root.CreateToken(ctx, sdk.CreateToken{Name: "ci"})
	tok2, err2 := root.CreateToken(ctx, sdk.CreateToken{Name: "ci"})
	if list, err3 := root.Tokens(t.Context()); err != nil || err2 != nil || err3 != nil || tok.Text != tok2.Text || len(list) != 2 {
		t.Errorf("token: %v, %v; again: %v, %v; %d tokens, want 2", tok, err, tok2, err2, len(list))
	}
	ctx = keyed()
	k, err := root.CreateProvisionerKey(ctx, sdk.CreateProvisionerKey{Name: "lab"})
	k2, err2 := root.CreateProvisionerKey(ctx, sdk.CreateProvisionerKey{Name: "lab"})
	if err != nil || err2 != nil || k.Text != k2.Text {
		t.Errorf("key: %v, %v; again: %v, %v", k, err, k2, err2)
	}
	ctx = keyed()
	v, err := root.PushTemplate(ctx, "process", sdk.PushVersion{Archive: packed(t, "x")})
	v2, err2 := root.PushTemplate(ctx, "process", sdk.PushVersion{Archive: packed(t, "x")})
	if list, err3 := root.TemplateVersions(t.Context(), "process"); err != nil || err2 != nil || err3 != nil || v.ID != v2.ID || len(list) != 2 {
		t.Errorf("version: %v, %v; again: %v, %v; %d versions, want 2", v.ID, err, v2.ID, err2, len(list))
	}
	ctx = keyed()
	b, err := root.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "built", Template: "process"})
	b2, err2 := root.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "built", Template: "process"})
	if err != nil || err2 != nil || b.LatestBuild.ID != b2.LatestBuild.ID {
		t.Errorf("from a template: %v, again: %v", err, err2)
	}
}

func TestAKeyStandsForOneRequestOfOneUser(t *testing.T) {
	d := deploy(t)
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	ctx := sdk.WithIdempotencyKey(t.Context(), "k1")
	made, err := alice.CreateToken(ctx, sdk.CreateToken{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.CreateToken(ctx, sdk.CreateToken{Name: "other"}); status(err) != 422 || code(err) != "idempotency-key-reused" {
		t.Errorf("another body: %v, want 422", err)
	}
	if _, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true}); code(err) != "idempotency-key-reused" {
		t.Errorf("another operation: %v, want 422", err)
	}
	if his, err := bob.CreateToken(ctx, sdk.CreateToken{Name: "ci"}); err != nil || his.ID == made.ID {
		t.Errorf("another user: %v, %v, want one of his own", his, err)
	}
	for _, bad := range []string{strings.Repeat("k", 256), "a b"} {
		if _, err := alice.CreateToken(sdk.WithIdempotencyKey(t.Context(), bad), sdk.CreateToken{Name: "ci"}); code(err) != "bad-idempotency-key" {
			t.Errorf("key %q: %v, want 422", bad, err)
		}
	}
	// What came to nothing may be tried again.
	ctx = sdk.WithIdempotencyKey(t.Context(), "k2")
	makeWorkspace(t, alice, "dev")
	if _, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("a second dev: %v, want a conflict", err)
	}
	if err := alice.DeleteWorkspace(t.Context(), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "dev", External: true}); err != nil {
		t.Errorf("once there is room: %v", err)
	}
}

func TestOfManyWithOneKeyOneTakesEffect(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	ctx := sdk.WithIdempotencyKey(t.Context(), uuid.NewString())
	const n = 8
	texts, errs := make([]string, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			made, err := alice.CreateToken(ctx, sdk.CreateToken{Name: "ci"})
			texts[i], errs[i] = made.Text, err
		})
	}
	wg.Wait()
	won := ""
	for i, err := range errs {
		switch {
		case err != nil && code(err) != "idempotency-in-progress":
			t.Errorf("%d: %v, want the answer, or that it is in progress", i, err)
		case err == nil && won == "":
			won = texts[i]
		case err == nil && texts[i] != won:
			t.Errorf("%d: another answer", i)
		}
	}
	if list, err := alice.Tokens(t.Context()); err != nil || len(list) != 2 || won == "" {
		t.Errorf("%d tokens, %v, want that of the test and one more", len(list), err)
	}
}

// A coordinator that dies between the effect and the answer leaves a key that is
// done; one that dies before leaves a key that somebody else may take.
func TestAKeyWhoseCoordinatorDied(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	me, err := alice.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse(me.ID)
	claim, before, err := d.store.ClaimKey(t.Context(), id, []byte("hash"), []byte("digest"))
	if err != nil || before != nil {
		t.Fatal(before, err)
	}
	if _, _, err := d.store.ClaimKey(t.Context(), id, []byte("hash"), []byte("digest")); !errors.Is(err, store.ErrBusy) {
		t.Errorf("while it is at it: %v, want ErrBusy", err)
	}
	_, err = d.store.CreateWorkspace(store.WithClaim(t.Context(), claim), store.NewWorkspace{
		OwnerID: id, OwnerName: "alice", Name: "dev", External: true, AgentName: "main", AgentTokenHash: []byte("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.ReleaseKey(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.store.ClaimKey(t.Context(), id, []byte("hash"), []byte("digest")); err == nil {
		t.Error("what is done was given to somebody to do again")
	}
	// A claim that is another's by now has no effect.
	stale, _, err := d.store.ClaimKey(t.Context(), id, []byte("other"), []byte("digest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.store.ReleaseKey(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	_, err = d.store.CreateWorkspace(store.WithClaim(t.Context(), stale), store.NewWorkspace{
		OwnerID: id, OwnerName: "alice", Name: "late", External: true, AgentName: "main", AgentTokenHash: []byte("x"),
	})
	if !errors.Is(err, store.ErrBusy) {
		t.Errorf("an attempt that lost its claim: %v, want ErrBusy", err)
	}
	if list, err := alice.Workspaces(t.Context(), "me"); err != nil || len(list) != 1 {
		t.Errorf("%d workspaces, %v, want 1", len(list), err)
	}
}

// What is kept of an answer can be read with the key alone.
func TestKeptAnswersAreSealed(t *testing.T) {
	user := uuid.New()
	seal, err := sealer("key", user[:])
	if err != nil {
		t.Fatal(err)
	}
	kept := seal.Seal(nil, nil, []byte("adit_secret"), nil)
	if bytes.Contains(kept, []byte("secret")) {
		t.Error("the answer can be read")
	}
	for _, other := range []struct {
		key  string
		user uuid.UUID
	}{{"yek", user}, {"key", uuid.New()}} {
		seal, err := sealer(other.key, other.user[:])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.Open(nil, nil, kept, nil); err == nil {
			t.Errorf("opened with %+v", other)
		}
	}
	ctx := func(target, body string) huma.Context {
		r, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return humachi.NewContext(&huma.Operation{}, r, nil)
	}
	one := requestDigest("key", ctx("/a", ""), []byte("password"))
	if bytes.Equal(one, requestDigest("yek", ctx("/a", ""), []byte("password"))) {
		t.Error("a digest says what was asked without the key")
	}
	if bytes.Equal(one, requestDigest("key", ctx("/b", ""), []byte("password"))) {
		t.Error("two paths have one digest")
	}
}

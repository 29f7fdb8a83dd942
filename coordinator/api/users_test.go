package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func firstUser(name string) sdk.FirstUser {
	return sdk.FirstUser{Username: name, Email: name + "@example.com", Password: "correct horse"}
}

func TestFirstUserSignsIn(t *testing.T) {
	d := deploy(t)
	anybody := d.client("")
	if b, err := anybody.BuildInfo(t.Context()); err != nil || b.HasUsers || b.Version != "test" {
		t.Errorf("empty deployment: %+v, %v", b, err)
	}
	made, err := anybody.CreateFirstUser(t.Context(), firstUser("alice"))
	if err != nil || made.Role != "owner" {
		t.Fatalf("first user: %+v, %v", made, err)
	}
	if b, err := anybody.BuildInfo(t.Context()); err != nil || !b.HasUsers {
		t.Errorf("with a user: %+v, %v", b, err)
	}
	s, err := anybody.Login(t.Context(), sdk.Login{Username: "Alice", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	if me, err := d.client(s.Token).Me(t.Context()); err != nil || me != made {
		t.Errorf("me: %+v, %v, want %+v", me, err, made)
	}
}

func TestTwoFirstUsersAtOnce(t *testing.T) {
	d := deploy(t)
	const n = 4
	results := make(chan error, n)
	for i := range n {
		go func() {
			_, err := d.client("").CreateFirstUser(t.Context(), firstUser(fmt.Sprint("u", i)))
			results <- err
		}()
	}
	won := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, sdk.ErrConflict):
			t.Errorf("loser: %v, want a conflict", err)
		}
	}
	if won != 1 {
		t.Errorf("%d first users, want 1", won)
	}
}

func TestFirstUserIsChecked(t *testing.T) {
	d := deploy(t)
	for name, change := range map[string]func(*sdk.FirstUser){
		"upper case":     func(u *sdk.FirstUser) { u.Username = "Alice" },
		"dot":            func(u *sdk.FirstUser) { u.Username = "a.b" },
		"reserved":       func(u *sdk.FirstUser) { u.Username = self },
		"no mail":        func(u *sdk.FirstUser) { u.Email = "alice" },
		"short password": func(u *sdk.FirstUser) { u.Password = "1234567" },
		"long password":  func(u *sdk.FirstUser) { u.Password = strings.Repeat("x", 513) },
	} {
		u := firstUser("alice")
		change(&u)
		if _, err := d.client("").CreateFirstUser(t.Context(), u); status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v, want 422", name, err)
		}
	}
	if has, err := d.store.HasUsers(t.Context()); err != nil || has {
		t.Errorf("a user was made: %v, %v", has, err)
	}
}

func TestWrongPasswordsTellNothingAndRunOut(t *testing.T) {
	d := deploy(t)
	if _, err := d.client("").CreateFirstUser(t.Context(), firstUser("alice")); err != nil {
		t.Fatal(err)
	}
	login := func(name, password string) error {
		_, err := d.client("").Login(t.Context(), sdk.Login{Username: name, Password: password})
		return err
	}
	wrong, unknown := login("alice", "incorrect"), login("nobody", "incorrect")
	if status(wrong) != http.StatusUnauthorized || wrong.Error() != unknown.Error() {
		t.Errorf("wrong password: %v; unknown user: %v; want the same 401", wrong, unknown)
	}
	for range 20 {
		if wrong = login("alice", "incorrect"); status(wrong) == http.StatusTooManyRequests {
			return
		}
	}
	t.Errorf("after 20 wrong passwords: %v, want 429", wrong)
}

func TestLogoutEndsTheToken(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	tokens, err := alice.Tokens(t.Context())
	if err != nil || len(tokens) != 1 {
		t.Fatalf("tokens: %v, %v", tokens, err)
	}
	if err := alice.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Me(t.Context()); !errors.Is(err, sdk.ErrUnauthorized) {
		t.Errorf("after logout: %v, want ErrUnauthorized", err)
	}
	if want := []uuid.UUID{uuid.MustParse(tokens[0].ID)}; !slices.Equal(d.revoked.tokens, want) {
		t.Errorf("cut off %v, want %v", d.revoked.tokens, want)
	}
}

func TestTokens(t *testing.T) {
	d := deploy(t)
	alice, bob := d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	made, err := alice.CreateToken(t.Context(), sdk.CreateToken{Name: "ci", Lifetime: 3600})
	if err != nil {
		t.Fatal(err)
	}
	if made.ExpiresAt == nil || made.ExpiresAt.Sub(made.CreatedAt).Round(time.Minute) != time.Hour {
		t.Errorf("expires %v, made %v, want an hour between", made.ExpiresAt, made.CreatedAt)
	}
	ci := d.client(made.Text)
	if _, err := ci.Me(t.Context()); err != nil {
		t.Errorf("new token: %v", err)
	}
	list, err := alice.Tokens(t.Context())
	if err != nil || len(list) != 2 || list[1].ID != made.ID || list[1].LastUsedAt == nil {
		t.Errorf("tokens: %+v, %v, want ci second and used", list, err)
	}
	if err := bob.RevokeToken(t.Context(), made.ID); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("somebody else revokes it: %v, want ErrNotFound", err)
	}
	if err := alice.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := ci.Me(t.Context()); !errors.Is(err, sdk.ErrUnauthorized) {
		t.Errorf("revoked token: %v, want ErrUnauthorized", err)
	}
	if err := alice.RevokeToken(t.Context(), made.ID); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("revoked twice: %v, want ErrNotFound", err)
	}
	if !slices.Equal(d.revoked.tokens, []uuid.UUID{uuid.MustParse(made.ID)}) {
		t.Errorf("cut off %v, want %v", d.revoked.tokens, made.ID)
	}
	for _, bad := range []sdk.CreateToken{{Name: ""}, {Name: "x", Lifetime: -1}, {Name: strings.Repeat("x", 65)}, {Name: "a\x00"}, {Name: "\x1b[2J"}} {
		if _, err := alice.CreateToken(t.Context(), bad); status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%+v: %v, want 422", bad, err)
		}
	}
}

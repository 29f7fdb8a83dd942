package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/aditmesh/adit/coordinator/store"
)

// OIDCConfig configures an OpenID Connect provider.
type OIDCConfig struct {
	// Issuer is its URL, ClientID and ClientSecret are what we are to it.
	Issuer, ClientID, ClientSecret string
	// Label is what people read; empty is "OpenID Connect".
	Label string
	// Scopes are asked for beside openid; nil is profile and email.
	Scopes []string
	// UsernameClaim is what people are called; empty is preferred_username.
	UsernameClaim string
	// GroupsClaim has the groups of a person; empty is that the provider manages
	// none. GroupMapping are names of ours for those of the provider; one that is
	// not in it has the same name here. AllowedGroups are who may come in, by the
	// provider's names; none is everybody.
	GroupsClaim   string
	GroupMapping  map[string]string
	AllowedGroups []string
	// RolesClaim has the roles of a person; empty is that the provider manages
	// none. RoleMapping says which of ours each of the provider's is.
	RolesClaim  string
	RoleMapping map[string]store.Role
	LetIn       Rules
	// Client asks the provider; nil is http.DefaultClient.
	Client *http.Client
}

// OIDC is an OpenID Connect provider. It is asked what it can when it is first
// needed, so that it may be away while the coordinator starts.
type OIDC struct {
	cfg OIDCConfig

	mu       sync.Mutex     // held while the provider is asked
	provider *oidc.Provider // guarded by mu; nil until it has answered
}

var _ Provider = (*OIDC)(nil)

// NewOIDC returns a provider.
func NewOIDC(cfg OIDCConfig) *OIDC {
	if cfg.Client == nil {
		cfg.Client = http.DefaultClient
	}
	if cfg.Label == "" {
		cfg.Label = "OpenID Connect"
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"profile", "email"}
	}
	if cfg.UsernameClaim == "" {
		cfg.UsernameClaim = "preferred_username"
	}
	return &OIDC{cfg: cfg}
}

// Name is what the provider is called in paths.
func (o *OIDC) Name() string { return "oidc" }

// Issuer is whose subjects its people are.
func (o *OIDC) Issuer() string { return o.cfg.Issuer }

// Title is what people read.
func (o *OIDC) Title() string { return o.cfg.Label }

// Rules say whom to let in.
func (o *OIDC) Rules() Rules { return o.cfg.LetIn }

// ask returns what the provider can, and how to speak to it.
func (o *OIDC) ask(ctx context.Context, redirect string) (context.Context, *oidc.Provider, *oauth2.Config, error) {
	ctx = oidc.ClientContext(ctx, o.cfg.Client)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		// Its keys are fetched for as long as it is used: not by this request.
		p, err := oidc.NewProvider(context.WithoutCancel(ctx), o.cfg.Issuer)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("auth: provider %s: %w", o.cfg.Issuer, err)
		}
		o.provider = p
	}
	return ctx, o.provider, &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: o.provider.Endpoint(),
		RedirectURL: redirect, Scopes: append([]string{oidc.ScopeOpenID}, o.cfg.Scopes...),
	}, nil
}

// Check asks for the provider's description: it has to be reachable, and of the
// issuer that was configured. What it thinks of the secret only a sign-in tells.
func (o *OIDC) Check(ctx context.Context) error {
	_, provider, _, err := o.ask(ctx, "")
	if err != nil {
		return err
	}
	if e := provider.Endpoint(); e.AuthURL == "" || e.TokenURL == "" {
		return fmt.Errorf("auth: provider %s does not say where people sign in and where their tokens are", o.cfg.Issuer)
	}
	return nil
}

// Begin returns where to send a browser.
func (o *OIDC) Begin(ctx context.Context, redirect string, f Flow) (string, error) {
	_, _, conf, err := o.ask(ctx, redirect)
	if err != nil {
		return "", err
	}
	return conf.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// Finish turns what the browser came back with into a person.
func (o *OIDC) Finish(ctx context.Context, redirect, code string, f Flow) (Person, error) {
	ctx, provider, conf, err := o.ask(ctx, redirect)
	if err != nil {
		return Person{}, err
	}
	token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	var wrong *oauth2.RetrieveError
	if errors.As(err, &wrong) && wrong.ErrorCode != "" {
		return Person{}, &Refused{"the provider does not accept the sign-in any more; try again"}
	}
	if err != nil {
		return Person{}, fmt.Errorf("auth: provider %s: %w", o.cfg.Issuer, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Person{}, &Refused{"the provider does not say who you are"}
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: o.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Person{}, &Refused{"what the provider says of you cannot be trusted: " + err.Error()}
	}
	if f.Nonce == "" || id.Nonce != f.Nonce {
		return Person{}, &Refused{"what the provider says was said before, to somebody else; try again"}
	}
	claims := make(map[string]json.RawMessage)
	if err := id.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("auth: claims of provider %s: %w", o.cfg.Issuer, err)
	}
	if o.lacks(claims) {
		if err := addUserInfo(ctx, provider, token, id.Subject, claims); err != nil {
			return Person{}, err
		}
	}
	return o.person(id.Issuer, id.Subject, claims)
}

// lacks reports whether claims that are wanted are not in the token: many
// providers tell them only when asked.
func (o *OIDC) lacks(claims map[string]json.RawMessage) bool {
	for _, want := range []string{"email", o.cfg.UsernameClaim, o.cfg.GroupsClaim, o.cfg.RolesClaim} {
		if want != "" && claims[want] == nil {
			return true
		}
	}
	return false
}

// addUserInfo adds to claims what the provider tells when asked. What it has
// signed stays as it is.
func addUserInfo(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, subject string, claims map[string]json.RawMessage) error {
	if provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("auth: ask the provider about a user: %w", err)
	}
	if info.Subject != subject {
		return &Refused{"the provider speaks of two people"}
	}
	more := make(map[string]json.RawMessage)
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("auth: what the provider tells of a user: %w", err)
	}
	// An address and whether it is verified belong together.
	if claims["email"] != nil {
		delete(more, "email_verified")
	}
	for k, v := range more {
		if claims[k] == nil {
			claims[k] = v
		}
	}
	return nil
}

func (o *OIDC) person(issuer, subject string, claims map[string]json.RawMessage) (Person, error) {
	p := Person{
		Provider: o.Name(),
		Issuer:   issuer, Subject: subject, Email: text(claims["email"]), Username: text(claims[o.cfg.UsernameClaim]),
		// Some say it as a string.
		EmailVerified: string(claims["email_verified"]) == "true" || string(claims["email_verified"]) == `"true"`,
	}
	if o.cfg.GroupsClaim != "" {
		theirs := texts(claims[o.cfg.GroupsClaim])
		if len(o.cfg.AllowedGroups) > 0 && !slices.ContainsFunc(theirs, func(g string) bool { return slices.Contains(o.cfg.AllowedGroups, g) }) {
			return p, &Refused{"you are in none of the groups that may sign in here"}
		}
		p.Groups = []string{}
		for _, g := range theirs {
			if ours, ok := o.cfg.GroupMapping[g]; ok {
				g = ours
			}
			p.Groups = append(p.Groups, g)
		}
	}
	if o.cfg.RolesClaim != "" {
		var roles []store.Role
		for _, r := range texts(claims[o.cfg.RolesClaim]) {
			roles = append(roles, o.cfg.RoleMapping[r])
		}
		p.Role = widest(roles)
	}
	return p, nil
}

// text reads a claim that is a string; anything else is none.
func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// texts reads a claim that is some strings, or one; anything else is none.
func texts(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	if s := text(raw); s != "" {
		return []string{s}
	}
	return nil
}

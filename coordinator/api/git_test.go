package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// An agent gets what the owner of its workspace keeps for the server it names, and
// nothing else; nobody reads a password that was kept.
func TestGitCredentialsAreForTheAgentsOfTheirUser(t *testing.T) {
	d := deploy(t)
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	ctx := t.Context()
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	agents := make(map[string]*sdk.Client)
	for name, c := range map[string]*sdk.Client{"alice": alice, "bob": bob} {
		w, job := start(t, c, p, "dev", nil)
		p.planned(job, &provisionerv1.Agent{Name: "main", Repositories: []*provisionerv1.Repository{{Url: "https://git.example.com/x", Depth: 1}}})
		p.finish(job, &provisionerv1.Result{})
		agents[name] = d.client(agenttoken.Token(uuid.MustParse(w.ID), job.GetBuild().GetAgentSecret(), "main"))
	}
	const origin = "https://git.example.com"
	if _, err := agents["alice"].AgentGitCredential(ctx, origin); !errors.Is(err, sdk.ErrNotFound) || !strings.Contains(err.Error(), "adit git-credentials set "+origin) {
		t.Errorf("before there is one: %v", err)
	}
	for _, secret := range []string{"first", "s3cret"} {
		if err := alice.SetGitCredential(ctx, sdk.SetGitCredential{Origin: "https://Git.Example.com/", Username: "alice", Password: secret}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := agents["alice"].AgentGitCredential(ctx, origin); err != nil || s != (sdk.GitSecret{Username: "alice", Password: "s3cret"}) {
		t.Errorf("%+v, %v", s, err)
	}
	for who, ask := range map[string]func() error{
		"another's agent":         func() error { _, err := agents["bob"].AgentGitCredential(ctx, origin); return err },
		"another port":            func() error { _, err := agents["alice"].AgentGitCredential(ctx, origin+":8443"); return err },
		"without TLS":             func() error { _, err := agents["alice"].AgentGitCredential(ctx, "http://git.example.com"); return err },
		"another's to be deleted": func() error { return bob.DeleteGitCredential(ctx, origin) },
		"one that was not kept":   func() error { return alice.DeleteGitCredential(ctx, "https://example.org") },
	} {
		if err := ask(); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if _, err := alice.AgentGitCredential(ctx, origin); !errors.Is(err, sdk.ErrUnauthorized) {
		t.Errorf("a person asks for the password: %v", err)
	}
	list, err := alice.GitCredentials(ctx)
	if err != nil || len(list) != 1 || list[0].Origin != origin || list[0].Username != "alice" || list[0].UsedAt == nil {
		t.Errorf("%+v, %v", list, err)
	}
	for _, c := range []sdk.SetGitCredential{
		{Origin: "git.example.com", Username: "a", Password: "b"}, {Origin: "https://u@git.example.com", Username: "a", Password: "b"}, {Origin: origin + "/x", Username: "a", Password: "b"},
		{Origin: "file:///etc", Username: "a", Password: "b"}, {Origin: origin, Username: "a\nhost=x", Password: "b"}, {Origin: origin, Username: "a", Password: "b\nc"},
	} {
		var refused *sdk.Error
		if err := alice.SetGitCredential(ctx, c); !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %v", c, err)
		}
	}
	if err := alice.DeleteGitCredential(ctx, origin); err != nil {
		t.Fatal(err)
	}
	if _, err := agents["alice"].AgentGitCredential(ctx, origin); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("forgotten: %v", err)
	}

	if err := alice.SetDotfiles(ctx, sdk.Dotfiles{URL: "https://git.example.com/dots"}); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]string{"alice": "https://git.example.com/dots", "bob": ""} {
		m, err := agents[who].Manifest(ctx)
		got := ""
		if m.Dotfiles != nil {
			got = m.Dotfiles.URL
		}
		if err != nil || got != want || len(m.Repositories) != 1 || m.Repositories[0] != (sdk.Repository{URL: "https://git.example.com/x", Depth: 1}) {
			t.Errorf("%s's agent is told %+v, %v", who, m, err)
		}
	}
	if err := alice.SetDotfiles(ctx, sdk.Dotfiles{URL: "--upload-pack=x"}); err == nil {
		t.Error("an option of git's is taken for a URL")
	}
	if err := alice.SetDotfiles(ctx, sdk.Dotfiles{}); err != nil {
		t.Fatal(err)
	}
	if d, err := alice.Dotfiles(ctx); err != nil || d.URL != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

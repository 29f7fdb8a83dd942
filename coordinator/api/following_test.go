package api

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/forge"
	"github.com/aditmesh/adit/coordinator/forge/forgetest"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestATemplateFollowsARepository(t *testing.T) {
	d := deploy(t, func(c *Config) { c.AccessURL = &url.URL{Scheme: "https", Host: "adit.example.com"} })
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	if _, err := root.PushTemplate(t.Context(), "dev", sdk.PushVersion{Archive: packed(t, "x")}); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})
	req := sdk.CreateTemplateWebhook{Repository: "https://git.example.com/templates.git", Branch: "main", Directory: "dev/"}
	for what, err := range map[string]error{
		"show": second(alice.TemplateWebhook(t.Context(), "dev")), "create": second(alice.CreateTemplateWebhook(t.Context(), "dev", req)),
		"delete": alice.DeleteTemplateWebhook(t.Context(), "dev"),
	} {
		if status(err) != http.StatusForbidden {
			t.Errorf("a member may %s: %v", what, err)
		}
	}
	bad := req
	bad.Repository = "ext::sh -c id"
	if _, err := root.CreateTemplateWebhook(t.Context(), "dev", bad); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a repository that is none: %v", err)
	}
	made, err := root.CreateTemplateWebhook(t.Context(), "dev", req)
	if err != nil || !strings.HasPrefix(made.Secret, "adit_push_") || made.Directory != "dev" || made.URL != "https://adit.example.com"+pushedPath+made.ID {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := root.CreateTemplateWebhook(t.Context(), "dev", req); status(err) != http.StatusConflict {
		t.Errorf("again: %v", err)
	}
	if w, err := root.TemplateWebhook(t.Context(), "dev"); err != nil || w.Repository != req.Repository || w.CreatedBy != "root" || w.NextAt == nil {
		t.Errorf("%+v, %v", w, err)
	}

	post := func(id, branch, secret string, change func(*http.Request)) (int, string) {
		t.Helper()
		r, err := forgetest.Push(t.Context(), d.url.String()+pushedPath+id, branch, secret)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(raw)
	}
	large := func(n int) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("X-Hub-Signature-256")
			r.Header.Set("X-GitHub-Event", "")
			r.Header.Set("X-Gitlab-Event", "Push Hook")
			r.Header.Set("X-Gitlab-Token", made.Secret)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"ref":"refs/heads/main"`+strings.Repeat(" ", n)+"}")), -1
		}
	}
	form := func(r *http.Request) { large(0)(r); r.Body = io.NopCloser(strings.NewReader("payload=x")) }
	for name, c := range map[string]struct {
		id, branch, secret string
		change             func(*http.Request)
		status             int
		says               string
	}{
		"a push":             {made.ID, "main", made.Secret, nil, http.StatusAccepted, `"taken":true`},
		"the same once more": {made.ID, "main", made.Secret, nil, http.StatusAccepted, `"taken":true`},
		"another branch":     {made.ID, "other", made.Secret, nil, http.StatusAccepted, "follows main"},
		"unsigned":           {made.ID, "main", "wrong", nil, http.StatusUnauthorized, "not signed"},
		"no such webhook":    {"8f14e45f-ceea-467a-9a36-dedd4bea2543", "main", made.Secret, nil, http.StatusNotFound, "not found"},
		"no id":              {"x", "main", made.Secret, nil, http.StatusNotFound, "not found"},
		"a form":             {made.ID, "main", made.Secret, form, http.StatusUnsupportedMediaType, "application/json"},
		"many commits":       {made.ID, "main", made.Secret, large(forge.MaxPosted - 100), http.StatusAccepted, `"taken":true`},
		"too many":           {made.ID, "main", made.Secret, large(forge.MaxPosted + 1), http.StatusRequestEntityTooLarge, ""},
	} {
		if status, raw := post(c.id, c.branch, c.secret, c.change); status != c.status || !strings.Contains(raw, c.says) || strings.Contains(raw, made.Secret) {
			t.Errorf("%s: %d %s, want %d and %q", name, status, raw, c.status, c.says)
		}
	}
	if err := root.DeleteTemplateWebhook(t.Context(), "dev"); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(made.ID, "main", made.Secret, nil); status != http.StatusNotFound {
		t.Errorf("after it was deleted: %d", status)
	}
	if _, err := root.TemplateWebhook(t.Context(), "dev"); status(err) != http.StatusNotFound {
		t.Errorf("after it was deleted: %v", err)
	}
}

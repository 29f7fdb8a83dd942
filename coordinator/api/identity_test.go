package api

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// cloud is a Google of the test's own, and an API that believes it.
type cloud struct {
	t   *testing.T
	key *rsa.PrivateKey
	url *url.URL
}

func (d *deployment) cloud(t *testing.T) *cloud {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kid": "k", "kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	}))
	t.Cleanup(keys.Close)
	v, err := identity.New(identity.Config{GoogleKeys: keys.URL})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(New(Config{
		Store: d.store, Auth: d.auth, Mesh: d.revoked, Workspaces: d.workspaces, Identity: v, Version: "test", Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(web.Close)
	u, err := url.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{t, key, u}
}

// proof is a token that Google gives an instance, another one each time.
func (c *cloud) proof(instance string) sdk.InstanceProof {
	c.t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			c.t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	now := time.Now()
	signed := part(map[string]any{"alg": "RS256", "kid": "k"}) + "." + part(map[string]any{
		"iss": "https://accounts.google.com", "aud": c.url.String() + "#" + rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"google": map[string]any{"compute_engine": map[string]any{"instance_id": instance}},
	})
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, c.key, crypto.SHA256, sum[:])
	if err != nil {
		c.t.Fatal(err)
	}
	return sdk.InstanceProof{Kind: sdk.AuthGoogle, Signature: signed + "." + base64.RawURLEncoding.EncodeToString(sig)}
}

func (c *cloud) exchange(p sdk.InstanceProof) (string, error) {
	return sdk.New(c.url, "").ExchangeIdentity(c.t.Context(), p)
}

func TestAnInstanceIsExchangedForItsAgentsToken(t *testing.T) {
	d := deploy(t)
	google := d.cloud(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	w, job := start(t, alice, p, "dev", nil)
	agents := func(instance string) []*provisionerv1.Agent {
		return []*provisionerv1.Agent{
			{Name: "main", Auth: sdk.AuthGoogle, InstanceId: instance},
			{Name: "given", InstanceId: "99"}, // it has its token, and did not ask for more
			{Name: "other", Auth: sdk.AuthAWS, InstanceId: "77"},
		}
	}
	p.planned(job, agents("")...)
	early := google.proof("4711")
	if _, err := google.exchange(early); status(err) != http.StatusNotFound {
		t.Errorf("before the build has made the instance: %v, want 404", err)
	}
	p.finish(job, &provisionerv1.Result{Agents: agents("4711")})

	want := agenttoken.Token(uuid.MustParse(w.ID), job.GetBuild().GetAgentSecret(), "main")
	got, err := google.exchange(early) // asking early has not used it up
	if err != nil || got != want {
		t.Fatalf("%q, %v, want the token of main", got, err)
	}
	if m, err := d.client(got).Manifest(t.Context()); err != nil || m.Agent != "main" {
		t.Errorf("with that token: %+v, %v", m, err)
	}
	if _, err := google.exchange(early); status(err) != http.StatusUnauthorized {
		t.Errorf("the same proof again: %v, want 401", err)
	}
	if again, err := google.exchange(google.proof("4711")); err != nil || again != want {
		t.Errorf("an agent that starts again: %q, %v", again, err)
	}
	for name, instance := range map[string]string{"another instance": "4712", "one whose agent has a token": "99", "one of another cloud": "77"} {
		if _, err := google.exchange(google.proof(instance)); status(err) != http.StatusNotFound {
			t.Errorf("%s: %v, want 404", name, err)
		}
	}
	forged := google.proof("4711")
	forged.Signature = forged.Signature[:len(forged.Signature)-8] + "AAAAAAAA"
	if _, err := google.exchange(forged); status(err) != http.StatusUnauthorized {
		t.Errorf("forged: %v, want 401", err)
	}
	if _, err := d.client("").ExchangeIdentity(t.Context(), google.proof("4711")); status(err) != http.StatusServiceUnavailable {
		t.Errorf("where no identities are accepted: %v, want 503", err)
	}

	// Many at once with one proof: one gets the token.
	proof, tokens := google.proof("4711"), make(chan string, 8)
	var wg sync.WaitGroup
	for range cap(tokens) {
		wg.Go(func() {
			if token, err := google.exchange(proof); err == nil {
				tokens <- token
			}
		})
	}
	wg.Wait()
	if len(tokens) != 1 {
		t.Errorf("%d got the token by one proof", len(tokens))
	}

	// A stop ends it, also for who can still prove the instance.
	if _, err := alice.CreateBuild(t.Context(), "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStop}); err != nil {
		t.Fatal(err)
	}
	stop := p.job()
	p.planned(stop)
	p.finish(stop, &provisionerv1.Result{})
	if _, err := google.exchange(google.proof("4711")); status(err) != http.StatusNotFound {
		t.Errorf("after the stop: %v, want 404", err)
	}
}

func TestAnAgentWithAnUnknownAuthIsRefused(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, alice, p, "dev", nil)
	_, err := p.client.Planned(t.Context(), &provisionerv1.PlanReport{Job: job.GetRef(), Agents: []*provisionerv1.Agent{{Name: "main", Auth: "magic"}}})
	if err == nil {
		t.Error("it was accepted")
	}
	p.finish(job, &provisionerv1.Result{Status: provisionerv1.Result_FAILED, Error: fmt.Sprint(err)})
}

func TestMetadataIsShownWithItsLastValues(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, alice, p, "dev", nil)
	p.planned(job, &provisionerv1.Agent{Name: "main", Metadata: []*provisionerv1.AgentMetadata{
		{Key: "load", DisplayName: "Load", Script: "uptime", IntervalSeconds: 5, TimeoutSeconds: 2}, {Key: "branch", Script: "git branch", IntervalSeconds: 9},
	}})
	p.finish(job, &provisionerv1.Result{})
	w, err := alice.Workspace(t.Context(), "me", "dev")
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse(w.Agents[0].ID)
	at := time.Now().Truncate(time.Millisecond)
	if err := d.store.RecordMetadata(t.Context(), []store.MetadataValue{{AgentID: id, Key: "load", Value: "0.5", At: at}, {AgentID: id, Key: "else", Value: "x", At: at}}); err != nil {
		t.Fatal(err)
	}
	if w, err = alice.Workspace(t.Context(), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	m := w.Agents[0].Metadata
	if len(m) != 2 || m[0].Key != "load" || m[0].DisplayName != "Load" || m[0].Value != "0.5" || !m[0].At.Equal(at) || m[1].Key != "branch" || m[1].At != nil {
		t.Errorf("%+v", m)
	}
	agent := d.client(agenttoken.Token(uuid.MustParse(w.ID), job.GetBuild().GetAgentSecret(), "main"))
	if manifest, err := agent.Manifest(t.Context()); err != nil || len(manifest.Metadata) != 2 ||
		manifest.Metadata[0] != (sdk.Measure{Key: "load", Script: "uptime", IntervalSeconds: 5, TimeoutSeconds: 2}) {
		t.Errorf("%+v, %v", manifest.Metadata, err)
	}
}

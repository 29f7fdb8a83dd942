package coordinator

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/pkg/sdk"
)

// upgrade asks for a WebSocket and returns what that was answered with.
func (d *deployment) upgrade(t *testing.T, path, authorization string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		"Authorization": authorization,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// Each stream is for one role: the credential of another opens none.
func TestStreamsAreForTheirRoleAlone(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	me, err := d.alice.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.alice.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := d.alice.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.alice.DeleteProvisionerKey(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	revoked, err := d.alice.CreateToken(t.Context(), sdk.CreateToken{Name: "revoked"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.alice.RevokeToken(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Second)
	expired, _, err := auth.New(d.server.store).IssueToken(t.Context(), uuid.MustParse(me.ID), "expired", &past)
	if err != nil {
		t.Fatal(err)
	}
	other := d.workspace(t, "other")
	if err := d.alice.DeleteWorkspace(t.Context(), "me", "other"); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{
		"none": "", "garbage": "Bearer xyzzy", "no scheme": d.alice.Token(), "another scheme": "Basic " + d.alice.Token(),
		"expired": "Bearer " + expired, "revoked": "Bearer " + revoked.Text, "a wrong secret": "Bearer " + d.alice.Token() + "x",
		"a deleted workspace's agent's": "Bearer " + other.AgentToken, "a revoked key's": "Bearer " + gone.Text,
		"very long": "Bearer adit_" + strings.Repeat("a", 16<<10),
		"a user's":  "Bearer " + d.alice.Token(), "an agent's": "Bearer " + w.AgentToken, "a provisioner's": "Bearer " + key.Text,
	}
	opens := map[string][]string{
		"/rpc/v1/node":        {"a user's", "an agent's"},
		"/rpc/v1/provisioner": {"a provisioner's"},
	}
	for path, good := range opens {
		for name, token := range tokens {
			want := http.StatusUnauthorized
			for _, g := range good {
				if g == name {
					want = http.StatusSwitchingProtocols
				}
			}
			if resp := d.upgrade(t, path, token); resp.StatusCode != want {
				t.Errorf("%s with a token that is %s: %d, want %d", path, name, resp.StatusCode, want)
			}
		}
	}
}

package instance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// clouds is the metadata service of all three, which answers only those who ask as
// its cloud wants to be asked.
func clouds(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	only := func(header, value, answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(header) != value {
				http.Error(w, "who asks?", http.StatusUnauthorized)
				return
			}
			_, _ = w.Write([]byte(answer))
		}
	}
	mux.Handle("PUT /latest/api/token", only("X-aws-ec2-metadata-token-ttl-seconds", "60", "session"))
	mux.Handle("GET /latest/dynamic/instance-identity/document", only("X-aws-ec2-metadata-token", "session", `{"instanceId": "i-1"}`))
	mux.Handle("GET /latest/dynamic/instance-identity/rsa2048", only("X-aws-ec2-metadata-token", "session", "MII\nabc"))
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", func(w http.ResponseWriter, r *http.Request) {
		only("Metadata-Flavor", "Google", "token for "+r.URL.Query().Get("audience")+" in "+r.URL.Query().Get("format"))(w, r)
	})
	mux.HandleFunc("GET /metadata/attested/document", func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Query().Get("nonce")) != 10 || r.URL.Query().Get("api-version") == "" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		only("Metadata", "true", `{"encoding": "pkcs7", "signature": "MII`+r.URL.Query().Get("nonce")+`"}`)(w, r)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// coordinator refuses a first proof, as while a build goes on, and then gives what
// came as the token.
func coordinator(t *testing.T) (*url.URL, *atomic.Pointer[sdk.InstanceProof]) {
	t.Helper()
	var first atomic.Pointer[sdk.InstanceProof]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p sdk.InstanceProof
		if r.URL.Path != "/api/v1/agent/identity" || r.Header.Get("Authorization") != "" || json.NewDecoder(r.Body).Decode(&p) != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		if first.CompareAndSwap(nil, &p) {
			http.Error(w, "not yet", http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(sdk.AgentToken{Token: p.Kind + " " + p.Document + " " + p.Signature})
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u, &first
}

func TestWhatCloudsSayIsExchangedOnceTheBuildIsDone(t *testing.T) {
	metadata := clouds(t)
	for auth, want := range map[string]struct {
		token string
		anew  bool // another proof each time
	}{
		sdk.AuthAWS:    {`aws-instance-identity {"instanceId": "i-1"} MII` + "\nabc", false},
		sdk.AuthGoogle: {"google-instance-identity  token for URL#", true},
		sdk.AuthAzure:  {"azure-instance-identity  MII", true},
	} {
		u, first := coordinator(t)
		token, err := Token(t.Context(), Config{Auth: auth, Metadata: metadata, URL: u, Retry: time.Millisecond})
		if err != nil || !strings.HasPrefix(token, strings.Replace(want.token, "URL", u.String(), 1)) {
			t.Errorf("%s: %q, %v, want %q", auth, token, err, want.token)
		}
		if again := strings.HasSuffix(token, first.Load().Signature); again == want.anew {
			t.Errorf("%s: the proof that was refused is sent again: %v", auth, again)
		}
	}
}

func TestItWaitsForAMetadataServiceUntilItIsEnded(t *testing.T) {
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	u, _ := coordinator(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if token, err := Token(ctx, Config{Auth: sdk.AuthAWS, Metadata: none.URL, URL: u, Retry: time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q, %v", token, err)
	}
}

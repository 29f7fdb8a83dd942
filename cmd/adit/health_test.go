package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Without its database a coordinator cannot tell who asks, and so not how it is
// doing; but why it does not serve it tells everybody.
func TestHealthSaysWhyNobodyIsServed(t *testing.T) {
	quiet(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			http.Error(w, "not ready: the database does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"code":"unavailable","detail":"the coordinator cannot do that right now"}`)
	}))
	defer web.Close()
	alice := commandLine{t, t.TempDir()}
	alice.fails(exitFailed, "the coordinator is not ready: the database does not answer", "", "health", "--url", web.URL, "--token", "adit_x")
}

package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/aditmesh/adit/coordinator/request"
)

// routed says which route a request matched, once it did.
func routed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { request.SetRoute(r.Context(), chi.RouteContext(r.Context()).RoutePattern()) }()
		next.ServeHTTP(w, r)
	})
}

// Unavailable answers a request that comes too early.
func Unavailable(w http.ResponseWriter, detail string) {
	plain(http.StatusServiceUnavailable, detail).write(w)
}

package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
)

// requestIDHeader is where whoever gives requests their ids has put it.
const requestIDHeader = "X-Request-Id"

// ClientAddr finds out where requests come from, also behind proxies whose
// networks are trusted; RemoteAddr tells it of a request that passed by it. What
// a proxy says nothing of, or nothing that can be read, comes from the proxy.
func ClientAddr(trusted []string) func(http.Handler) http.Handler {
	if len(trusted) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	forwarded := middleware.ClientIPFromXFF(trusted...)
	return func(next http.Handler) http.Handler {
		return middleware.ClientIPFromRemoteAddr(forwarded(next))
	}
}

// RemoteAddr returns where a request comes from.
func RemoteAddr(r *http.Request) string { return middleware.GetClientIP(r.Context()) }

// from puts into a request's context where it comes from. Who it is from is
// not known yet, and of some never.
func from(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := store.WithActor(r.Context(), store.Actor{
			Kind: store.ActorNobody, Remote: RemoteAddr(r), RequestID: w.Header().Get(requestIDHeader),
		})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// acting returns the actor of a request whose token is somebody's.
func acting(ctx huma.Context, who auth.Identity) store.Actor {
	a, request := who.Actor(), store.ActorFrom(ctx.Context())
	a.Reading = ctx.Method() == http.MethodGet
	a.Remote, a.RequestID = request.Remote, request.RequestID
	return a
}

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

// from puts into a request's context where it comes from. Who it is from is
// not known yet, and of some never.
func from(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := middleware.GetClientIP(r.Context())
		ctx := store.WithActor(r.Context(), store.Actor{
			Kind: store.ActorNobody, Remote: host, RequestID: w.Header().Get(requestIDHeader),
		})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// actorKinds are what those with a token are called where changes are noted.
var actorKinds = map[auth.Kind]store.ActorKind{
	auth.User: store.ActorUser, auth.Agent: store.ActorAgent, auth.Provisioner: store.ActorProvisioner,
}

// acting returns the actor of a request whose token is somebody's.
func acting(ctx huma.Context, who auth.Identity) store.Actor {
	a := store.ActorFrom(ctx.Context())
	a.Reading = ctx.Method() == http.MethodGet
	a.Kind, a.UserID, a.AgentID, a.TokenID = actorKinds[who.Kind], who.UserID, who.AgentID, who.TokenID
	return a
}

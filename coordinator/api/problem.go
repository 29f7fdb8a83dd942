package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/sdk"
)

// problem is an RFC 9457 problem, the one form that errors are answered in.
type problem sdk.Error

var _ huma.StatusError = (*problem)(nil)

func (p *problem) Error() string { return (*sdk.Error)(p).Error() }

// GetStatus is how huma learns the status.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders is how huma learns what is answered beside the problem.
func (p *problem) GetHeaders() http.Header {
	h := make(http.Header)
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Seconds())))
	}
	return h
}

// ContentType is how huma learns the media type, whatever was asked for.
func (p *problem) ContentType(string) string { return problemJSON }

const problemJSON = "application/problem+json"

// statusCodes are the codes of problems that nothing more is known of.
var statusCodes = map[int]string{
	http.StatusBadRequest:                   "bad-request",
	http.StatusUnauthorized:                 "unauthenticated",
	http.StatusForbidden:                    "forbidden",
	http.StatusNotFound:                     "not-found",
	http.StatusMethodNotAllowed:             "method-not-allowed",
	http.StatusNotAcceptable:                "not-acceptable",
	http.StatusRequestTimeout:               "request-timeout",
	http.StatusConflict:                     "conflict",
	http.StatusGone:                         "gone",
	http.StatusPreconditionFailed:           "changed-meanwhile",
	http.StatusRequestEntityTooLarge:        "too-large",
	http.StatusUnsupportedMediaType:         "unsupported-media-type",
	http.StatusRequestedRangeNotSatisfiable: "bad-range",
	http.StatusUnprocessableEntity:          "invalid",
	http.StatusTooManyRequests:              "rate-limited",
	http.StatusInternalServerError:          "internal",
	http.StatusServiceUnavailable:           "unavailable",
}

// typePrefix makes a code the URI that RFC 9457 wants as a type. It names the
// problem and leads nowhere.
const typePrefix = "urn:adit:problem:"

// coded is a problem with a code of its own, for programs that tell it from
// others of its status.
func coded(status int, code, detail string) *problem {
	return &problem{Type: typePrefix + code, Code: code, Status: status, Title: http.StatusText(status), Detail: detail}
}

// plain is a problem that its status says enough about.
func plain(status int, detail string) *problem {
	code, ok := statusCodes[status]
	if !ok {
		code = strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "-")
	}
	return coded(status, code, detail)
}

// at adds what is wrong with one field: "body.name", "query.q".
func (p *problem) at(location, message string) *problem {
	p.Errors = append(p.Errors, sdk.FieldError{Location: location, Message: message})
	return p
}

// asProblem turns the library's errors into problems; for huma.Config. The
// value that was wrong stays out: it may be a password.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := plain(m.Status, m.Detail)
	for _, e := range m.Errors {
		if e != nil {
			p.at(e.Location, e.Message)
		}
	}
	return p, nil
}

// problem turns an error into what the caller gets to know of it.
func (a *API) problem(err error) huma.StatusError {
	if p := refusal(err); p != nil {
		return p
	}
	switch {
	case errors.Is(err, auth.ErrSuspended):
		return coded(http.StatusForbidden, "suspended", auth.ErrSuspended.Error())
	case errors.Is(err, store.ErrLastOwner):
		return coded(http.StatusConflict, "last-owner", store.ErrLastOwner.Error()+"; make somebody else an owner first")
	case errors.Is(err, auth.ErrUnauthenticated):
		return plain(http.StatusUnauthorized, auth.ErrUnauthenticated.Error())
	case errors.Is(err, auth.ErrPassword):
		return coded(http.StatusUnprocessableEntity, "bad-password", auth.ErrPassword.Error())
	case errors.Is(err, store.ErrNotFound):
		return plain(http.StatusNotFound, "not found")
	case errors.Is(err, store.ErrConflict):
		return coded(http.StatusConflict, "already-exists", "already exists")
	case errors.Is(err, store.ErrChanged):
		return plain(http.StatusPreconditionFailed, "it was changed since; look again")
	case errors.Is(err, store.ErrPlace):
		return badCursor()
	case errors.Is(err, store.ErrBusy):
		return coded(http.StatusConflict, "busy", "somebody else changed it at the same moment; try again")
	case errors.Is(err, context.Canceled): // nobody waits for the answer
		return plain(http.StatusServiceUnavailable, "the request was given up")
	default:
		return failed(err)
	}
}

// refusal returns what the caller is told of an error that says what is in the
// way of a request; nil if it says no such thing.
func refusal(err error) huma.StatusError {
	var known huma.StatusError
	if errors.As(err, &known) {
		return known
	}
	var left *store.WorkspacesLeft
	var inUse *store.OrganizationInUse
	var bad *workspaces.BadInput
	var underway *workspaces.Underway
	var held *workspaces.StateHeld
	var descent *workspaces.NoDescent
	var used *store.TemplateInUse
	var over *store.OverQuota
	var named *workspaces.NameTaken
	var tooMany *auth.TooMany
	switch {
	case errors.As(err, &tooMany):
		p := plain(http.StatusTooManyRequests, tooMany.Error())
		p.RetryAfter = tooMany.Wait
		return p
	case errors.Is(err, workspaces.ErrExternal):
		return coded(http.StatusConflict, "external-workspace", workspaces.ErrExternal.Error())
	case errors.Is(err, workspaces.ErrOver):
		return coded(http.StatusConflict, "job-over", workspaces.ErrOver.Error())
	case errors.As(err, &over):
		return coded(http.StatusConflict, "over-quota", over.Error())
	case errors.As(err, &named):
		return coded(http.StatusConflict, "already-exists", named.Error())
	case errors.As(err, &bad):
		return coded(http.StatusUnprocessableEntity, "bad-input", bad.Error())
	case errors.As(err, &underway):
		return coded(http.StatusConflict, "build-underway", underway.Error())
	case errors.As(err, &held):
		return coded(http.StatusConflict, "state-held", held.Error())
	case errors.As(err, &descent):
		return coded(http.StatusConflict, "state-no-descent", descent.Error())
	case errors.As(err, &left):
		return coded(http.StatusConflict, "workspaces-left", left.Error())
	case errors.As(err, &inUse):
		return coded(http.StatusConflict, "organization-in-use", inUse.Error())
	case errors.As(err, &used):
		return coded(http.StatusConflict, "template-in-use", used.Error())
	}
	return nil
}

// write answers outside of the operations as they do.
func (p *problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", problemJSON)
	w.WriteHeader(p.Status)
	// The connection is gone if this fails.
	_ = json.NewEncoder(w).Encode(p)
}

// writeError answers an operation from its middleware.
func (a *API) writeError(ctx huma.Context, err huma.StatusError) {
	a.logFailure(ctx.Context(), err)
	p, ok := err.(*problem)
	if !ok {
		p = plain(err.GetStatus(), err.Error())
	}
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	ctx.SetHeader("Content-Type", problemJSON)
	ctx.SetStatus(p.Status)
	// The connection is gone if this fails.
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p)
}

func noSuchPath(w http.ResponseWriter, _ *http.Request) {
	plain(http.StatusNotFound, "the API has no such path; see /api/docs").write(w)
}

// noSuchMethod says what methods there are, as RFC 9110 wants.
func noSuchMethod(routes chi.Routes) http.HandlerFunc {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	return func(w http.ResponseWriter, r *http.Request) {
		for _, m := range methods {
			if routes.Match(chi.NewRouteContext(), m, r.URL.Path) {
				w.Header().Add("Allow", m)
			}
		}
		plain(http.StatusMethodNotAllowed, r.Method+" is not what this path is for; see /api/docs").write(w)
	}
}

// recovered makes a panic a problem and a line of the log. What was being
// answered already is cut off.
func recovered(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun := &begunWriter{ResponseWriter: w}
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v)
				}
				log.ErrorContext(r.Context(), "a request panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				if begun.begun {
					panic(http.ErrAbortHandler)
				}
				plain(http.StatusInternalServerError, "the coordinator made a mistake; its log says more").write(w)
			}()
			next.ServeHTTP(begun, r)
		})
	}
}

// begunWriter knows whether an answer was begun.
type begunWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *begunWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *begunWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (w *begunWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Refuse answers an upgrade whose token was refused; for pkg/rpc.
func Refuse(log *slog.Logger) func(http.ResponseWriter, error) {
	return func(w http.ResponseWriter, err error) {
		if errors.Is(err, auth.ErrUnauthenticated) {
			plain(http.StatusUnauthorized, auth.ErrUnauthenticated.Error()).write(w)
			return
		}
		log.Warn("cannot tell who a node is", "err", err)
		plain(http.StatusServiceUnavailable, "the database is away; try again").write(w)
	}
}

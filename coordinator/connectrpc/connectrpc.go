// Package connectrpc serves the read and lifecycle calls of the HTTP API as
// Connect, gRPC and gRPC-Web.
//
// It decides nothing: each call becomes a request to the HTTP API in the same
// process, with the caller's credential and address, so that rights, bounds and
// records are those of the HTTP API, whatever they are.
package connectrpc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/pkg/proto/aditv1/aditv1connect"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxMessage bounds a request: the HTTP API's bound is near.
const maxMessage = 64 << 10

// Handlers returns the services by their paths. The API is the HTTP API.
func Handlers(api http.Handler) map[string]http.Handler {
	s := service{api: api}
	handlers := make(map[string]http.Handler)
	add := func(path string, h http.Handler) { handlers[path] = h }
	add(aditv1connect.NewWorkspacesHandler(s, connect.WithReadMaxBytes(maxMessage)))
	add(aditv1connect.NewTemplatesHandler(s, connect.WithReadMaxBytes(maxMessage)))
	return handlers
}

type service struct{ api http.Handler }

var (
	_ aditv1connect.WorkspacesHandler = service{}
	_ aditv1connect.TemplatesHandler  = service{}
)

// forwarded are the headers that a call's request takes along.
var forwarded = []string{"Authorization", "Idempotency-Key", "If-Match", "X-Request-Id", "X-Forwarded-For", "User-Agent"}

// answered are the headers that come back.
var answered = []string{"Etag", "Idempotency-Replayed", "X-Request-Id"}

// ask makes the request of a call and reads what is answered into out, unless it
// is nil.
func (s service) ask(ctx context.Context, call connect.AnyRequest, method string, in, out any, path ...string) (http.Header, error) {
	client := sdk.New(&url.URL{Scheme: "http", Host: hostOf(call)}, "").WithTransport(inside{s.api, call})
	header, err := client.Call(ctx, method, in, out, path...)
	if err == nil {
		return header, nil
	}
	var problem *sdk.Error
	if !errors.As(err, &problem) {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	e := connect.NewError(codeOf(problem), errors.New(problem.Error()))
	e.Meta().Set("adit-code", problem.Code)
	if problem.RetryAfter > 0 {
		e.Meta().Set("Retry-After", strconv.Itoa(int(problem.RetryAfter.Seconds())))
	}
	return nil, e
}

func hostOf(call connect.AnyRequest) string {
	if h := call.Header().Get("Host"); h != "" {
		return h
	}
	return "adit"
}

// codeOf is what Connect calls a problem.
func codeOf(p *sdk.Error) connect.Code {
	switch p.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		return connect.CodeInvalidArgument
	case http.StatusUnauthorized:
		return connect.CodeUnauthenticated
	case http.StatusForbidden:
		return connect.CodePermissionDenied
	case http.StatusNotFound, http.StatusGone:
		return connect.CodeNotFound
	case http.StatusConflict:
		if p.Code == "already-exists" {
			return connect.CodeAlreadyExists
		}
		return connect.CodeAborted
	case http.StatusPreconditionFailed:
		return connect.CodeFailedPrecondition
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return connect.CodeResourceExhausted
	case http.StatusServiceUnavailable:
		return connect.CodeUnavailable
	}
	return connect.CodeInternal
}

// lenient lets what the HTTP API says and the messages do not have pass.
var lenient = protojson.UnmarshalOptions{DiscardUnknown: true}

// answer makes a call whose answer is the HTTP API's: messages are called and
// written as its JSON is.
func answer[M any, P interface {
	*M
	proto.Message
}](ctx context.Context, s service, call connect.AnyRequest, method string, in any, path ...string) (*connect.Response[M], error) {
	var raw json.RawMessage
	header, err := s.ask(ctx, call, method, in, &raw, path...)
	if err != nil {
		return nil, err
	}
	out := P(new(M))
	if len(raw) > 0 {
		if err := lenient.Unmarshal(raw, out); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
	}
	resp := connect.NewResponse((*M)(out))
	for _, name := range answered {
		if v := header.Get(name); v != "" {
			resp.Header().Set(name, v)
		}
	}
	return resp, nil
}

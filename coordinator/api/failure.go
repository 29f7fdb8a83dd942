package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// failure is a problem whose cause is the coordinator's own, and is told to its
// log alone.
type failure struct {
	huma.StatusError
	cause error
}

func failed(cause error) huma.StatusError {
	return &failure{plain(http.StatusServiceUnavailable, "the coordinator cannot do that right now; try again"), cause}
}

// ContentType is how huma learns the media type, whatever was asked for.
func (f *failure) ContentType(string) string { return "application/problem+json" }

// logFailure logs what failed, where the request is known.
func (a *API) logFailure(ctx context.Context, p huma.StatusError) {
	if f, ok := p.(*failure); ok {
		a.Logger.ErrorContext(ctx, "request failed", "err", f.cause)
	}
}

// tellFailure logs what an operation failed of, and answers the rest of it; for
// huma.Config.
func (a *API) tellFailure(ctx huma.Context, _ string, v any) (any, error) {
	if f, ok := v.(*failure); ok {
		a.logFailure(ctx.Context(), f)
		return f.StatusError, nil
	}
	return v, nil
}

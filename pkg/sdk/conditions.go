package sdk

import (
	"context"
	"net/http"
)

type (
	idempotencyKey struct{}
	ifMatchKey     struct{}
	tagKey         struct{}
	headerKey      struct{}
)

// WithIdempotencyKey makes calls under ctx that make something take effect once,
// however often they are repeated with the same key and request within a day: the
// others get the answer of the first. Use a random key, such as a UUID, for each
// thing to make; the coordinator keeps the answer sealed with it.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// WithIfMatch makes updates under ctx fail with ErrChanged if what they change is
// not any longer what the tag stands for.
func WithIfMatch(ctx context.Context, tag string) context.Context {
	return context.WithValue(ctx, ifMatchKey{}, tag)
}

// WithTag makes calls under ctx that read one thing put its tag, for WithIfMatch,
// into *tag.
func WithTag(ctx context.Context, tag *string) context.Context {
	return context.WithValue(ctx, tagKey{}, tag)
}

// setConditions sets the headers that the context asks for.
func setConditions(req *http.Request) {
	ctx := req.Context()
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok && req.Method == http.MethodPost {
		req.Header.Set("Idempotency-Key", key)
	}
	if tag, ok := ctx.Value(ifMatchKey{}).(string); ok && req.Method != http.MethodGet {
		req.Header.Set("If-Match", tag)
	}
}

// noteTag keeps the tag of what was read, and all headers, if the context asks for
// them.
func noteTag(resp *http.Response) {
	if tag, ok := resp.Request.Context().Value(tagKey{}).(*string); ok {
		*tag = resp.Header.Get("ETag")
	}
	if header, ok := resp.Request.Context().Value(headerKey{}).(*http.Header); ok {
		*header = resp.Header
	}
}

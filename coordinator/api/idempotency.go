package api

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/store"
)

const (
	idempotencyKey = "Idempotency-Key"
	// replayed is the header of answers that were given before.
	replayed = "Idempotency-Replayed"

	// maxKey bounds a key.
	maxKey = 255

	// keptTimeout bounds keeping an answer, which is done also when nobody waits
	// for it any longer.
	keptTimeout = 5 * time.Second

	// bodyTimeout is how long a body may take unless its operation says
	// otherwise: the library's own.
	bodyTimeout = 5 * time.Second
)

// makes reports whether an operation makes something for a user, and so takes an
// Idempotency-Key.
func makes(op *huma.Operation) bool {
	return op.Method == http.MethodPost && op.DefaultStatus == http.StatusCreated && needs(op, userScheme)
}

// once does what is asked for under a key once, and answers again what it answered
// first to whoever asks again, for a day.
//
// What was done is noted in the transaction that does it, and the answer after
// that: a coordinator that dies in between leaves a key that is done, without its
// answer, and never does it twice. Answers and requests hold secrets, so both are
// kept under the key itself, of which a hash is kept.
func (a *API) once(ctx huma.Context, next func(huma.Context)) {
	key := ctx.Header(idempotencyKey)
	if key == "" || !makes(ctx.Operation()) {
		next(ctx)
		return
	}
	if !goodKey(key) {
		why := fmt.Sprintf("want 1 to %d printable ASCII characters", maxKey)
		a.writeError(ctx, coded(http.StatusUnprocessableEntity, "bad-idempotency-key", "Idempotency-Key: "+why).at("header."+idempotencyKey, why))
		return
	}
	request, err := readBody(ctx)
	if err != nil {
		a.writeError(ctx, a.problem(err))
		return
	}
	user := caller(ctx.Context()).UserID
	hash := sha256.Sum256([]byte(key))
	claim, before, err := a.Store.ClaimKey(ctx.Context(), user, hash[:], requestDigest(key, ctx, request))
	if err != nil {
		a.writeError(ctx, a.problem(keyProblem(err)))
		return
	}
	seal, err := sealer(key, user[:])
	if err != nil {
		a.writeError(ctx, a.problem(err))
		return
	}
	if before != nil {
		text, err := seal.Open(nil, nil, before.Sealed, nil)
		if err != nil {
			a.writeError(ctx, a.problem(fmt.Errorf("open a kept answer: %w", err)))
			return
		}
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetHeader(replayed, "true")
		ctx.SetStatus(before.Status)
		// The connection is gone if this fails.
		_, _ = ctx.BodyWriter().Write(text)
		return
	}
	kept := newAnswer(huma.WithContext(ctx, store.WithClaim(ctx.Context(), claim)))
	kept.request = bytes.NewReader(request)
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		a.keep(ctx.Context(), claim, seal, kept)
	}
	defer end() // a panic keeps nothing, and blocks nobody
	kept.status = http.StatusInternalServerError
	next(kept)
	end()
	kept.send()
}

// keep ends an attempt with what was answered.
func (a *API) keep(ctx context.Context, claim store.Claim, seal cipher.AEAD, kept *answer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keptTimeout)
	defer cancel()
	var err error
	if kept.status/100 == 2 {
		err = a.Store.FinishKey(ctx, claim, store.Answer{Status: kept.status, Sealed: seal.Seal(nil, nil, kept.body.Bytes(), nil)})
	} else {
		err = a.Store.ReleaseKey(ctx, claim)
	}
	if err != nil {
		a.Logger.Warn("an answer could not be kept for those who ask again", "err", err)
	}
}

// keyProblem says what is in the way of a key.
func keyProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrKeyReused):
		return coded(http.StatusUnprocessableEntity, "idempotency-key-reused", "the Idempotency-Key stands for another request; choose a new one")
	case errors.Is(err, store.ErrKeyDone):
		return coded(http.StatusConflict, "idempotency-answer-lost", "it was done before, and the answer is lost: look for what was made")
	case errors.Is(err, store.ErrBusy):
		return coded(http.StatusConflict, "idempotency-in-progress", "the same is being done already; ask again in a moment")
	}
	return err
}

func goodKey(key string) bool {
	for i := range len(key) {
		if key[i] < '!' || key[i] > '~' {
			return false
		}
	}
	return len(key) <= maxKey
}

// readBody reads a request's body within the bounds of its operation.
func readBody(ctx huma.Context) ([]byte, error) {
	op := ctx.Operation()
	timeout := op.BodyReadTimeout
	if timeout == 0 {
		timeout = bodyTimeout
	}
	// A connection that knows no deadlines is bounded by the request's time.
	_ = ctx.SetReadDeadline(time.Now().Add(timeout))
	raw, err := io.ReadAll(io.LimitReader(ctx.BodyReader(), op.MaxBodyBytes+1))
	if err != nil {
		return nil, plain(http.StatusRequestTimeout, "the body did not come in time, or not whole")
	}
	if int64(len(raw)) > op.MaxBodyBytes {
		return nil, plain(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", op.MaxBodyBytes))
	}
	return raw, nil
}

// requestDigest stands for a request. Without the key nobody can try out what may
// have been in it.
func requestDigest(key string, ctx huma.Context, body []byte) []byte {
	u := ctx.URL()
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s %s\n%s\n", ctx.Method(), u.RequestURI(), ctx.Header("If-Match"))
	mac.Write(body)
	return mac.Sum(nil)
}

// sealer seals answers under the key that they were asked for with.
func sealer(key string, user []byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, []byte(key), user, "adit: an answer that is kept", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

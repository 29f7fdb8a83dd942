package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// sessionLifetime is how long a sign-in lasts. Whoever wants a token for
	// longer makes one by name.
	sessionLifetime = 30 * 24 * time.Hour

	// signInsMax is how often one address may try to sign in, a minute: an office
	// behind one address does, on a Monday. A name has its own limit, in the
	// store. Command lines that wait ask more often.
	signInsMax = 60
	waitsMax   = 600

	// deviceLifetime is how long a command line waits to be let in, and
	// deviceInterval how often it asks.
	deviceLifetime = 10 * time.Minute
	deviceInterval = 2 * time.Second
)

// limits are how often an address may try.
type limits struct{ signIns, waits *httprate.RateLimiter }

func newLimits() limits {
	refuse := httprate.WithLimitHandler(func(w http.ResponseWriter, _ *http.Request) {
		plain(http.StatusTooManyRequests, "too many sign-ins from your address; wait a minute").write(w)
	})
	return limits{httprate.NewRateLimiter(signInsMax, time.Minute, refuse), httprate.NewRateLimiter(waitsMax, time.Minute, refuse)}
}

func addressOf(r *http.Request) string {
	return httprate.CanonicalizeIP(middleware.GetClientIP(r.Context()))
}

// limited is what operations have that strangers may try.
func (a *API) limited() huma.Middlewares { return huma.Middlewares{limitedBy(a.limits.signIns)} }

func limitedBy(l *httprate.RateLimiter) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if !l.RespondOnLimit(w, r, addressOf(r)) {
			next(huma.WithValue(ctx, requestKey{}, r))
		}
	}
}

type requestKey struct{}

func (a *API) registerSignIn(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/api/v1/login", Summary: "Sign in with a password",
		MaxBodyBytes: maxBody, Middlewares: a.limited(),
	}, a.login)
	huma.Register(h, huma.Operation{
		OperationID: "logout", Method: http.MethodPost, Path: "/api/v1/logout", Summary: "Revoke the token of this request",
		Security: signedIn(), DefaultStatus: http.StatusNoContent,
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			r, _ := humachi.Unwrap(ctx)
			next(huma.WithValue(ctx, requestKey{}, r))
		}},
	}, a.logout)
	huma.Register(h, huma.Operation{
		OperationID: "sign-in-methods", Method: http.MethodGet, Path: "/api/v1/login/methods", Summary: "The ways to sign in",
	}, a.signInMethods)
	huma.Register(h, huma.Operation{
		OperationID: "login-device", Method: http.MethodPost, Path: "/api/v1/login/device",
		Summary: "Ask to be let in by somebody with a browser", DefaultStatus: http.StatusCreated, Middlewares: a.limited(),
	}, a.loginDevice)
	huma.Register(h, huma.Operation{
		OperationID: "login-device-token", Method: http.MethodPost, Path: "/api/v1/login/device/token",
		Summary: "The token of whoever let one in; 202 until somebody has", MaxBodyBytes: maxBody,
		Middlewares: huma.Middlewares{limitedBy(a.limits.waits)}, Errors: []int{http.StatusNotFound},
	}, a.loginDeviceToken)
}

type sessionAnswer struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      sdk.Session
}

func (a *API) login(ctx context.Context, in *body[sdk.Login]) (*sessionAnswer, error) {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	if in.Body.Cookie && !a.fromHere(r) {
		return nil, errForeign
	}
	u, err := a.Auth.CheckPassword(ctx, in.Body.Username, in.Body.Password)
	if errors.Is(err, auth.ErrUnauthenticated) {
		a.noteSignIn(ctx, store.AuditRefused, uuid.Nil, in.Body.Username)
		return nil, plain(http.StatusUnauthorized, "wrong user name or password")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	if in.Body.Cookie {
		c, err := a.newSession(ctx, r, u)
		if err != nil {
			return nil, a.problem(err)
		}
		return &sessionAnswer{SetCookie: []http.Cookie{c}, Body: sdk.Session{User: userJSON(u)}}, nil
	}
	return a.issueLogin(ctx, u)
}

// issueLogin makes a command line's token.
func (a *API) issueLogin(ctx context.Context, u store.User) (*sessionAnswer, error) {
	token, _, err := a.Auth.Issue(ctx, store.NewToken{UserID: u.ID, Name: "login", ExpiresAt: a.sessionEnd(), Kind: store.TokenLogin})
	if err != nil {
		return nil, a.problem(err)
	}
	a.noteSignIn(ctx, store.AuditDone, u.ID, u.Username)
	return &sessionAnswer{Body: sdk.Session{Token: token, User: userJSON(u)}}, nil
}

// sessionEnd is when a sign-in from now ends.
func (a *API) sessionEnd() *time.Time {
	lasts := sessionLifetime
	if a.MaxTokenLifetime > 0 {
		lasts = min(lasts, a.MaxTokenLifetime)
	}
	return new(time.Now().Add(lasts))
}

func (a *API) logout(ctx context.Context, _ *struct{}) (*struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}, error) {
	who := caller(ctx)
	if err := a.revoke(ctx, who.UserID, who.TokenID); err != nil {
		return nil, err
	}
	out := &struct {
		SetCookie []http.Cookie `header:"Set-Cookie"`
	}{}
	if r, ok := ctx.Value(requestKey{}).(*http.Request); ok && r.Header.Get("Authorization") == "" {
		out.SetCookie = []http.Cookie{a.cookie(r, sessionCookie, "", -1)}
	}
	return out, nil
}

func (a *API) signInMethods(ctx context.Context, in *struct {
	Cookie string `header:"Cookie" hidden:"true"`
}) (*body[sdk.SignInMethods], error) {
	m := sdk.SignInMethods{Password: true, Providers: []sdk.SignInProvider{}}
	cookies, _ := http.ParseCookie(in.Cookie) // what is none is nobody's session
	var linked []string
	for _, c := range cookies {
		if strings.TrimPrefix(c.Name, hostPrefix) != sessionCookie {
			continue
		}
		who, err := a.Auth.Authenticate(ctx, c.Value)
		if err != nil {
			continue
		}
		m.SignedIn = true
		if linked, err = a.Store.IssuersOf(ctx, who.UserID); err != nil {
			return nil, a.problem(err)
		}
	}
	for _, p := range a.Providers {
		m.Providers = append(m.Providers, sdk.SignInProvider{
			Name: p.Name(), Title: p.Title(), Path: providerPath(p), Linked: slices.Contains(linked, p.Issuer()),
		})
	}
	return &body[sdk.SignInMethods]{m}, nil
}

// userCodeLetters have no vowels, so that codes are no words, and none that is
// taken for another.
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// newUserCode is what people compare: 20^8 of them, for ten minutes each.
func newUserCode() string {
	raw := make([]byte, 8)
	for i := 0; i < len(raw); {
		rand.Read(raw[i : i+1])
		if n := int(raw[i]); n < 240 { // a multiple of 20: all letters alike
			raw[i] = userCodeLetters[n%20]
			i++
		}
	}
	return string(raw[:4]) + "-" + string(raw[4:])
}

func (a *API) loginDevice(ctx context.Context, _ *struct{}) (*body[sdk.DeviceLogin], error) {
	r, _ := ctx.Value(requestKey{}).(*http.Request)
	text, hash := secret.New()
	d, err := a.Store.CreateDeviceLogin(ctx, hash, newUserCode(), middleware.GetClientIP(r.Context()), time.Now().Add(deviceLifetime))
	if err != nil {
		return nil, a.problem(err)
	}
	base := a.base(r)
	page := base.JoinPath("signin", "device")
	page.RawQuery = url.Values{"code": {d.UserCode}}.Encode()
	return &body[sdk.DeviceLogin]{sdk.DeviceLogin{
		DeviceCode: d.ID.String() + "_" + text, UserCode: d.UserCode, URL: page.String(),
		Interval: int(deviceInterval.Seconds()), ExpiresIn: int(deviceLifetime.Seconds()),
	}}, nil
}

var errDeviceGone = huma.Error404NotFound("nobody let this command line in in time; ask again")

func (a *API) loginDeviceToken(ctx context.Context, in *body[sdk.DeviceCode]) (*struct {
	Status int
	Body   sdk.DeviceSession
}, error) {
	idText, text, _ := strings.Cut(in.Body.DeviceCode, "_")
	id, err := uuid.Parse(idText)
	if err != nil {
		return nil, errDeviceGone
	}
	d, err := a.Store.DeviceLogin(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, errDeviceGone
	case err != nil:
		return nil, a.problem(err)
	case !secret.Match(text, d.SecretHash):
		return nil, errDeviceGone
	case d.Denied:
		return nil, huma.Error403Forbidden("somebody turned this command line away")
	}
	out := &struct {
		Status int
		Body   sdk.DeviceSession
	}{Status: http.StatusAccepted}
	if !d.Approved {
		return out, nil
	}
	// It is taken once: of two that have the code, one gets the token.
	by, err := a.Store.TakeDeviceLogin(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errDeviceGone
	}
	if err != nil {
		return nil, a.problem(err)
	}
	u, err := a.Store.UserByID(ctx, by)
	if err != nil {
		return nil, a.problem(err)
	}
	made, err := a.issueLogin(ctx, u)
	if err != nil {
		return nil, err
	}
	out.Status, out.Body.Session = http.StatusOK, &made.Body
	return out, nil
}

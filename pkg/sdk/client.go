// Package sdk is the client of the coordinator's HTTP API, and the types that
// both ends share. The command line uses nothing else.
//
// A Client may be used concurrently. Errors that the coordinator answers with
// are *Error and match ErrUnauthorized and the like; any other error means
// that there was no answer.
package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Errors that callers tell apart.
var (
	ErrUnauthorized = errors.New("not signed in")
	ErrNotFound     = errors.New("not found")
	ErrConflict     = errors.New("conflict")
	// ErrChanged is that the thing is not as the caller saw it.
	ErrChanged = errors.New("changed meanwhile")
)

// maxResponse bounds what is read of one answer: the largest are states and
// archives, maxProblem what is read of a refusal.
const (
	maxResponse = 64 << 20
	maxProblem  = 1 << 20
)

// timeout bounds one request.
const timeout = 30 * time.Second

// Error is an RFC 9457 problem.
type Error struct {
	Type   string `json:"type" doc:"A URI that stands for the code" example:"urn:adit:problem:not-found"`
	Code   string `json:"code" doc:"What the problem is, for programs; it stays as it is" example:"not-found"`
	Status int    `json:"status" doc:"Of the answer" example:"404"`
	Title  string `json:"title" example:"Not Found"`
	Detail string `json:"detail" doc:"What the problem is, for people" example:"not found"`
	// Errors are what is wrong with the fields of a request.
	Errors []FieldError `json:"errors,omitempty"`
	// RequestID is what the coordinator's log calls the request.
	RequestID string `json:"request_id,omitempty" doc:"What the coordinator's log calls the request"`
	// RetryAfter is how long to wait before asking again: the Retry-After header's.
	// Zero is that nobody knows.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Message  string `json:"message" example:"expected string"`
	Location string `json:"location" doc:"Where: body.name, query.q, path.number" example:"body.name"`
}

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	if text == "" {
		text = http.StatusText(e.Status)
	}
	sep := ": "
	for _, d := range e.Errors {
		if strings.Contains(e.Detail, d.Message) { // it says all there is
			continue
		}
		text += sep
		sep = "; "
		if field, ok := strings.CutPrefix(d.Location, "body."); ok {
			text += field + ": "
		}
		text += d.Message
	}
	if e.Status >= http.StatusInternalServerError && e.RequestID != "" { // the coordinator's log says more
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is matches the errors that callers tell apart.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusUnauthorized:
		return target == ErrUnauthorized
	case http.StatusNotFound:
		return target == ErrNotFound
	case http.StatusConflict:
		return target == ErrConflict
	case http.StatusPreconditionFailed:
		return target == ErrChanged
	}
	return false
}

// Client speaks to one coordinator.
type Client struct {
	base  *url.URL
	token string
	renew Renew // nil if the token stays
	http  *http.Client
}

// Renew returns the token that is good now, where tokens last for minutes.
type Renew func(context.Context) (string, error)

// New returns a client for the coordinator at base. The token may be empty
// until signed in.
func New(base *url.URL, token string) *Client {
	return &Client{base: base, token: token, http: &http.Client{
		Timeout: timeout,
		// A redirect would turn POST into GET, and may take the token to
		// where it does not belong.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// NewRenewing returns a client whose tokens do not last: each request asks for the one
// that is good then.
func NewRenewing(base *url.URL, renew Renew) *Client {
	c := New(base, "")
	c.renew = renew
	return c
}

// WithTransport returns a client that sends its requests by way of t.
func (c *Client) WithTransport(t http.RoundTripper) *Client {
	via, h := *c, *c.http
	h.Transport = t
	via.http = &h
	return &via
}

// Call makes a call that has no method of its own: in is sent as JSON unless it is
// nil, to a path below /api/v1 whose first element may carry a query, and the
// answer is read into out unless that is nil. It returns the answer's headers.
func (c *Client) Call(ctx context.Context, method string, in, out any, path ...string) (http.Header, error) {
	var header http.Header
	raw, err := c.ask(context.WithValue(ctx, headerKey{}, &header), method, in, path...)
	if err != nil || out == nil || len(raw) == 0 {
		return header, err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return header, fmt.Errorf("answer of %s is no adit coordinator's: %w", c.base.Redacted(), err)
	}
	return header, nil
}

// URL returns where the coordinator is.
func (c *Client) URL() *url.URL { return c.base }

// Token returns the token that requests carry; "" if they do not last.
func (c *Client) Token() string { return c.token }

// Renew returns what knows the token that is good now; nil if that is Token for ever.
func (c *Client) Renew() Renew { return c.renew }

// BuildInfo asks what the coordinator is. It needs no token.
func (c *Client) BuildInfo(ctx context.Context) (b BuildInfo, err error) {
	err = c.do(ctx, http.MethodGet, &b, nil, "buildinfo")
	return b, err
}

// CreateFirstUser makes the first user of an empty deployment.
func (c *Client) CreateFirstUser(ctx context.Context, u FirstUser) (made User, err error) {
	err = c.do(ctx, http.MethodPost, &made, u, "users", "first")
	return made, err
}

// Login signs in and returns a session, whose token this client does not use.
func (c *Client) Login(ctx context.Context, l Login) (s Session, err error) {
	err = c.do(ctx, http.MethodPost, &s, l, "login")
	return s, err
}

// Logout revokes the client's token.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, nil, nil, "logout")
}

// Me returns the user whose token it is.
func (c *Client) Me(ctx context.Context) (u User, err error) {
	err = c.do(ctx, http.MethodGet, &u, nil, "users", "me")
	return u, err
}

// Workspace returns one workspace; the owner may be "me".
func (c *Client) Workspace(ctx context.Context, owner, name string) (w Workspace, err error) {
	err = c.do(ctx, http.MethodGet, &w, nil, "workspaces", owner, name)
	return w, err
}

// CreateWorkspace makes a workspace.
func (c *Client) CreateWorkspace(ctx context.Context, req CreateWorkspace) (w CreatedWorkspace, err error) {
	err = c.do(ctx, http.MethodPost, &w, req, "workspaces")
	return w, err
}

// DeleteWorkspace deletes a workspace and ends its agents' access.
func (c *Client) DeleteWorkspace(ctx context.Context, owner, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "workspaces", owner, name)
}

// CreateToken makes an API token.
func (c *Client) CreateToken(ctx context.Context, req CreateToken) (t CreatedToken, err error) {
	err = c.do(ctx, http.MethodPost, &t, req, "tokens")
	return t, err
}

// RevokeToken ends an API token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "tokens", id)
}

// do sends in as JSON to a path below /api/v1 and reads the answer into out.
// The first element of path may carry a query.
func (c *Client) do(ctx context.Context, method string, out, in any, path ...string) error {
	raw, err := c.ask(ctx, method, in, path...)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("answer of %s is no adit coordinator's: %w", c.base.Redacted(), err)
	}
	return nil
}

// raw gets what is no JSON of ours.
func (c *Client) raw(ctx context.Context, path ...string) ([]byte, error) {
	return c.ask(ctx, http.MethodGet, nil, path...)
}

// ask sends in as JSON and returns the answer as it came.
func (c *Client) ask(ctx context.Context, method string, in any, path ...string) ([]byte, error) {
	req, err := c.request(ctx, method, in, path...)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no answer from the coordinator: %w", err)
	}
	defer resp.Body.Close()
	if err := c.refused(resp); err != nil {
		return nil, err
	}
	noteTag(resp)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, fmt.Errorf("answer from the coordinator: %w", err)
	}
	return raw, nil
}

// request makes a request to a path below /api/v1.
func (c *Client) request(ctx context.Context, method string, in any, path ...string) (*http.Request, error) {
	target := c.base.JoinPath("api", "v1")
	first, err := url.Parse(path[0])
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", path[0], err)
	}
	target = target.JoinPath(first.Path)
	target.RawQuery = first.RawQuery
	for _, p := range path[1:] {
		if p == "" || p == "." || p == ".." { // JoinPath would go elsewhere
			return nil, &Error{Status: http.StatusNotFound, Detail: fmt.Sprintf("%q: not found", p)}
		}
		target = target.JoinPath(url.PathEscape(p))
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", in, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, target.Redacted(), err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token := c.token
	if c.renew != nil {
		if token, err = c.renew(ctx); err != nil {
			return nil, err
		}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	setConditions(req)
	return req, nil
}

// refused returns what the coordinator, or whatever stands before it, has
// against a request; nil if it has nothing.
func (c *Client) refused(resp *http.Response) error {
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		return fmt.Errorf("%s redirects to %s; is that the coordinator's URL?", c.base.Redacted(), to.Redacted())
	}
	if resp.StatusCode < 300 {
		return nil
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return fmt.Errorf("answer from the coordinator: %w", err)
	}
	problem := new(Error)
	// Whatever stands between us and the coordinator answers otherwise.
	_ = json.Unmarshal(raw, problem)
	problem.Status = resp.StatusCode
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil { // else it is a date, which nobody here writes
		problem.RetryAfter = time.Duration(s) * time.Second
	}
	return problem
}

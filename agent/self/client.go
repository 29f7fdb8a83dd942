package self

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/sdk"
)

// Client asks an agent from within its workspace.
type Client struct{ http *http.Client }

// NewClient returns a client of the socket at a path.
func NewClient(path string) *Client {
	return &Client{&http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		},
	}}
}

// Env returns the environment that the workspace's programs get.
func (c *Client) Env(ctx context.Context) (env []string, err error) {
	err = c.ask(ctx, http.MethodGet, "env", nil, &env)
	return env, err
}

// Ports returns what listens in the workspace.
func (c *Client) Ports(ctx context.Context) (list []sdk.Port, err error) {
	err = c.ask(ctx, http.MethodGet, "ports", nil, &list)
	return list, err
}

// URL returns where the coordinator is.
func (c *Client) URL(ctx context.Context) (u string, err error) {
	err = c.ask(ctx, http.MethodGet, "url", nil, &u)
	return u, err
}

// Workspace returns the workspace that this is.
func (c *Client) Workspace(ctx context.Context) (w sdk.Workspace, err error) {
	err = c.ask(ctx, http.MethodGet, "workspace", nil, &w)
	return w, err
}

// Login returns what to sign in with now, to go where links of the policy lead.
func (c *Client) Login(ctx context.Context) (l Login, err error) {
	err = c.ask(ctx, http.MethodPost, "login", nil, &l)
	return l, err
}

// Stop has the workspace stopped.
func (c *Client) Stop(ctx context.Context) (b sdk.Build, err error) {
	err = c.ask(ctx, http.MethodPost, "stop", nil, &b)
	return b, err
}

// Extend has the workspace not stop by itself for some time.
func (c *Client) Extend(ctx context.Context, by time.Duration) (w sdk.Workspace, err error) {
	err = c.ask(ctx, http.MethodPost, "extend", sdk.Extend{Seconds: int64(by / time.Second)}, &w)
	return w, err
}

// Update has the agent replace its own program, and start the new one within some time.
func (c *Client) Update(ctx context.Context, within time.Duration) (a update.Answer, err error) {
	err = c.askFor(ctx, updateTimeout, http.MethodPost, "update", askUpdate{int64(within / time.Second)}, &a)
	return a, err
}

func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	return c.askFor(ctx, askTimeout, method, path, in, out)
}

// askFor asks for something that may take up to limit.
func (c *Client) askFor(ctx context.Context, limit time.Duration, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit+time.Second)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("self: encode %T: %w", in, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent/"+path, body)
	if err != nil {
		return fmt.Errorf("self: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no answer from the workspace's agent: %w", err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		refused := new(sdk.Error)
		if dec.Decode(refused) != nil {
			refused.Detail = resp.Status
		}
		refused.Status = resp.StatusCode
		return refused
	}
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("answer of the workspace's agent: %w", err)
	}
	return nil
}

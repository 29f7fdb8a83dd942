package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

// ErrNotUp is the absence of a daemon.
var ErrNotUp = errors.New("adit is not up")

// Client asks a daemon. Its methods may be called concurrently; errors match
// ErrNotUp where there is none.
type Client struct{ http *http.Client }

// NewClient returns a client of the daemon that listens at a socket.
func NewClient(socket string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

// Status returns what the daemon tells of itself.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, http.MethodGet, "status", &s)
	return s, err
}

// Down has the daemon end, and waits until it has.
func (c *Client) Down(ctx context.Context) error { return c.end(ctx, "down") }

// Yield has the daemon end for another that takes its place, and waits until it has: then
// connections by it go on by the other. One of a version that does not know that ends as
// by Down.
func (c *Client) Yield(ctx context.Context) error {
	err := c.end(ctx, "yield")
	if err != nil && !errors.Is(err, ErrNotUp) && ctx.Err() == nil {
		err = c.Down(ctx)
	}
	return err
}

func (c *Client) end(ctx context.Context, how string) error {
	var none struct{}
	if err := c.ask(ctx, http.MethodPost, how, &none); err != nil {
		return err
	}
	const step = 20 * time.Millisecond
	for ctx.Err() == nil {
		if _, err := c.Status(ctx); errors.Is(err, ErrNotUp) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(step):
		}
	}
	return fmt.Errorf("the daemon has not ended: %w", context.Cause(ctx))
}

// Connect makes a tunnel to the agent with the given node id.
func (c *Client) Connect(ctx context.Context, id string) (p Connected, err error) {
	err = c.ask(ctx, http.MethodPost, "connect/"+id, &p)
	return p, err
}

// Peer returns what is known of the agent with the given node id.
func (c *Client) Peer(ctx context.Context, id string) (p tunnel.Peer, err error) {
	err = c.ask(ctx, http.MethodGet, "peer/"+id, &p)
	return p, err
}

// Ping sends an echo to the agent with the given node id.
func (c *Client) Ping(ctx context.Context, id string) (e Echo, err error) {
	err = c.ask(ctx, http.MethodPost, "ping/"+id, &e)
	return e, err
}

// Events calls each with what happens, until that fails, ctx is done or the daemon
// ends.
func (c *Client) Events(ctx context.Context, each func(Event) error) error {
	body, err := c.open(ctx, http.MethodGet, "events")
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("an event of the daemon: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (c *Client) ask(ctx context.Context, method, path string, into any) error {
	body, err := c.open(ctx, method, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	return nil
}

func (c *Client) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://adit/v1/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNotUp, err)
	case err != nil:
		return nil, fmt.Errorf("ask the daemon: %w", err)
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	}
	defer resp.Body.Close()
	refused := new(sdk.Error)
	if json.NewDecoder(resp.Body).Decode(refused) != nil {
		refused.Detail = resp.Status
	}
	for _, k := range kinds {
		if k.code == refused.Code {
			return nil, fmt.Errorf("%s: %w", refused.Detail, k.err)
		}
	}
	return nil, errors.New(refused.Detail)
}

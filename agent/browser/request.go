package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/terminal"
)

// requestLabel begins the label of a channel that carries one request of HTTP: to the
// files of the workspace, see agent/files, or to a port of its, http/8080.
//
// The page says a [request], and then what it sends, in binary messages, and [kindEnd];
// the agent says an [answer], and then what it sends, and [kindEnd]. Of either direction
// no more than [terminal.Window] bytes are under way: who took some says so.
const (
	requestLabel = "http/"
	filesLabel   = requestLabel + "files"
)

const (
	kindRequest = "request"
	kindAnswer  = "answer"
	kindEnd     = "end"

	// requestIn is how long a page may take to say what it wants, and leaveIn how long
	// it may take for the end of the answer: it closes the channel then.
	requestIn = 10 * time.Second
	leaveIn   = time.Minute

	// piece is how much of an answer goes into a message.
	piece = 32 << 10
)

// about is what a page's request or the answer to it says of itself.
type about struct {
	Kind    string            `json:"kind"`
	Method  string            `json:"method,omitempty"`
	Path    string            `json:"path,omitempty"` // with its query
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Bytes is how long the body is; -1 if nobody knows. In a message of kind "took" it
	// is how many were taken.
	Bytes int64  `json:"bytes,omitempty"`
	Text  string `json:"text,omitempty"`
}

// passed are the headers of requests, and told those of answers, that mean something
// here.
var (
	passed = []string{"Accept", "Content-Type", "If-Match", "If-None-Match", "Range"}
	told   = []string{"Content-Type", "Content-Range", "Etag", "Last-Modified", "Location"}
)

// carry carries a page's request to what it is for, and the answer back.
func (p *page) carry(c *channel, label string) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	if err := p.request(ctx, c, label); err != nil && !errors.Is(err, errLeft) && ctx.Err() == nil {
		p.cfg.Logger.Debug("a page's request failed", "err", err)
		_ = say(ctx, c, about{Kind: terminal.KindFailed, Text: reason(err)}) // the page may have left
	}
	select { // until the page has all
	case <-c.over:
	case <-ctx.Done():
	case <-time.After(leaveIn):
	}
}

// reason is what a page is told of an error.
func reason(err error) string {
	var denied forbiddenError
	switch {
	case errors.As(err, &denied):
		return string(denied)
	case errors.Is(err, terminal.ErrProtocol):
		return "The page sent what makes no sense; load it again."
	}
	return "The workspace does not answer: " + err.Error()
}

// forbiddenError says why something may not be asked for.
type forbiddenError string

func (e forbiddenError) Error() string { return "browser: " + string(e) }

func say(ctx context.Context, c *channel, m about) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("browser: message %s: %w", m.Kind, err)
	}
	return c.Write(ctx, true, b)
}

// request does a request and returns once the answer was sent.
func (p *page) request(ctx context.Context, c *channel, label string) error {
	wanted, err := asked(ctx, c)
	if err != nil {
		return err
	}
	host, dial, err := p.reach(label)
	if err != nil {
		return err
	}
	if label == filesLabel {
		p.say(terminal.Signal{Kind: terminal.SignalOpened, ID: c.id, File: true})
		defer func() {
			p.say(terminal.Signal{Kind: terminal.SignalClosed, ID: c.id, Rx: c.rx.Load(), Tx: c.tx.Load()})
		}()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, sends := io.Pipe()
	shown := terminal.NewFlow()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		err := listen(ctx, c, sends, shown)
		sends.CloseWithError(err)
		cancel(err) // the page left, if the request is not over
	}()
	defer func() { <-heard }()
	defer body.Close()
	defer cancel(nil)
	r, err := http.NewRequestWithContext(ctx, wanted.Method, "http://"+host+wanted.Path, body)
	if err != nil {
		return fmt.Errorf("%w: %w", terminal.ErrProtocol, err)
	}
	r.ContentLength = wanted.Bytes
	if wanted.Bytes == 0 {
		r.Body = http.NoBody
	}
	for _, name := range passed {
		if v := wanted.Headers[name]; v != "" {
			r.Header.Set(name, v)
		}
	}
	r.Header.Set("User-Agent", "adit-browser")
	once := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, DisableCompression: true,
	}
	resp, err := once.RoundTrip(r)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	answer := about{Kind: kindAnswer, Status: resp.StatusCode, Bytes: resp.ContentLength, Headers: make(map[string]string)}
	for _, name := range told {
		if v := resp.Header.Get(name); v != "" {
			answer.Headers[name] = v
		}
	}
	if err := say(ctx, c, answer); err != nil {
		return err
	}
	buf := make([]byte, piece)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if err := shown.Enter(ctx, n); err != nil {
				return err
			}
			if err := c.Write(ctx, false, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return say(ctx, c, about{Kind: kindEnd})
		case err != nil:
			return fmt.Errorf("browser: the answer broke: %w", err)
		}
	}
}

// reach returns how what a label names is reached, and what it is called there.
func (p *page) reach(label string) (host string, dial func(context.Context) (net.Conn, error), err error) {
	if label == filesLabel {
		switch {
		case p.cfg.Files == nil:
			return "", nil, forbiddenError("The template of the workspace forbids to transfer files.")
		case !p.files:
			return "", nil, forbiddenError("The deployment's policy does not let you reach the files of this workspace; ask who keeps it.")
		}
		return "127.0.0.1", func(ctx context.Context) (net.Conn, error) { return p.cfg.Files(ctx, p.conn.RemoteAddr()) }, nil
	}
	port, err := strconv.ParseUint(strings.TrimPrefix(label, requestLabel), 10, 16)
	switch {
	case err != nil || port == 0:
		return "", nil, fmt.Errorf("%w: a channel called %.80q", terminal.ErrProtocol, label)
	case p.cfg.Port == nil:
		return "", nil, forbiddenError("The template of the workspace forbids to reach its ports.")
	case uint16(port) != p.port:
		return "", nil, forbiddenError("The deployment's policy does not let you reach this port of the workspace; ask who keeps it.")
	}
	return fmt.Sprintf("localhost:%d", port), func(ctx context.Context) (net.Conn, error) { return p.cfg.Port(ctx, uint16(port)) }, nil
}

// asked reads what a page wants.
func asked(ctx context.Context, c *channel) (m about, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestIn)
	defer cancel()
	text, b, err := c.Read(ctx)
	switch {
	case err != nil:
		return m, err
	case !text || json.Unmarshal(b, &m) != nil || m.Kind != kindRequest || !strings.HasPrefix(m.Path, "/"):
		return m, fmt.Errorf("%w: a request that is none", terminal.ErrProtocol)
	}
	return m, nil
}

// listen takes what a page sends until it leaves: the body, and what it took.
func listen(ctx context.Context, c *channel, body *io.PipeWriter, shown *terminal.Flow) error {
	taken, ended := 0, false
	for {
		text, b, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if !text {
			if ended {
				return fmt.Errorf("%w: more than was said", terminal.ErrProtocol)
			}
			_, _ = body.Write(b) // what nobody wants to have is taken, too
			if taken += len(b); taken >= terminal.Window/8 {
				if err := say(ctx, c, about{Kind: terminal.KindTook, Bytes: int64(taken)}); err != nil {
					return err
				}
				taken = 0
			}
			continue
		}
		var m about
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("%w: %w", terminal.ErrProtocol, err)
		}
		switch m.Kind {
		case terminal.KindTook:
			shown.Leave(int(m.Bytes))
		case kindEnd:
			ended = true
			if err := body.Close(); err != nil {
				return err
			}
		}
	}
}

package rpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// MaxMessage is the largest control message in bytes. The largest that is
	// meant to be sent, a peer with all its endpoints, is under 4 KiB.
	MaxMessage = 64 << 10

	// MaxJobMessage is that of provisioners: a plan of ten thousand resources,
	// or a batch of log.
	MaxJobMessage = 16 << 20

	// DefaultPing and DefaultTimeout: a peer that is gone is noticed after 30 s
	// at the latest.
	DefaultPing    = 15 * time.Second
	DefaultTimeout = 15 * time.Second
)

// ErrUnauthorized matches the refusal of a token.
var ErrUnauthorized = errors.New("token not accepted")

// UpgradeError is an answer other than a WebSocket.
type UpgradeError struct {
	// Status is the HTTP status.
	Status int
	// Message is what the server said, one line.
	Message string
}

func (e *UpgradeError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("server answered %d: %s", e.Status, e.Message)
}

// Is makes a refusal of the token match ErrUnauthorized.
func (e *UpgradeError) Is(target error) bool {
	return target == ErrUnauthorized && e.Status == http.StatusUnauthorized
}

// DialConfig says where to dial.
type DialConfig struct {
	// URL of the coordinator, http or https.
	URL *url.URL
	// Path of the stream, such as "/rpc/v1/node".
	Path string
	// Token is sent as the bearer token.
	Token string
	// HTTPClient makes the upgrade request; nil means http.DefaultClient.
	HTTPClient *http.Client
	// Ping is how often a silent connection is pinged, Timeout how long an
	// answer may take. Zero means the defaults.
	Ping, Timeout time.Duration
	// MaxMessage bounds a message that is received, in bytes. Zero means
	// MaxMessage.
	MaxMessage int
}

// Client is gRPC over one WebSocket, which is gone for good when it is lost.
type Client struct {
	*grpc.ClientConn
	ws    *websocket.Conn
	local netip.Addr
}

// LocalAddr is the address of this machine that the connection goes out from;
// invalid if it is not known.
func (c *Client) LocalAddr() netip.Addr { return c.local }

// Ping waits for a sign of life from the server, sooner than what watches the
// connection all the time.
func (c *Client) Ping(ctx context.Context) error { return c.ws.Ping(ctx) }

// Abandon ends the connection without a goodbye, which a network that is gone
// would only delay.
func (c *Client) Abandon() { _ = c.ws.CloseNow() } // it is in no state to fail

// Dial opens the WebSocket and returns gRPC over it. The context governs the
// dial alone. A refusal is an *UpgradeError.
func Dial(ctx context.Context, cfg DialConfig) (*Client, error) {
	target := cfg.URL.JoinPath(cfg.Path)
	var local netip.Addr
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if at, ok := info.Conn.LocalAddr().(*net.TCPAddr); ok {
			local = at.AddrPort().Addr().Unmap().WithZone("")
		}
	}})
	ws, resp, err := websocket.Dial(traced, target.String(), &websocket.DialOptions{
		HTTPClient:      cfg.HTTPClient,
		HTTPHeader:      http.Header{"Authorization": {"Bearer " + cfg.Token}},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = &UpgradeError{Status: resp.StatusCode, Message: problem(resp.Body)}
		}
		return nil, fmt.Errorf("rpc: connect to %s: %w", target.Redacted(), err)
	}
	// The connection outlives the dial's context.
	conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	ws.SetReadLimit(readLimit) // after NetConn, which lifts it
	cc, err := clientOn(ctx, conn, cfg)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("rpc: connect to %s: %w", target.Redacted(), err)
	}
	return &Client{cc, ws, local}, nil
}

// errGone is what a second dial of the same connection gets.
var errGone = errors.New("connection lost")

// clientOn returns gRPC that is up on conn and owns it.
func clientOn(ctx context.Context, conn net.Conn, cfg DialConfig) (*grpc.ClientConn, error) {
	var used atomic.Bool
	cc, err := grpc.NewClient("passthrough:///"+cfg.URL.Host,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the WebSocket is inside TLS
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errGone
			}
			return conn, nil
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithReadBufferSize(0), // the WebSocket has one
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    max(cmp.Or(cfg.Ping, DefaultPing), 10*time.Second), // gRPC's floor
			Timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(cmp.Or(cfg.MaxMessage, MaxMessage))),
	)
	if err != nil {
		return nil, err
	}
	// gRPC dials with the first RPC. A connection that it never took would not
	// be closed with it either.
	if err := waitReady(ctx, cc); err != nil {
		cc.Close()
		return nil, err
	}
	return cc, nil
}

// waitReady waits until HTTP/2 is spoken, or cannot be.
func waitReady(ctx context.Context, cc *grpc.ClientConn) error {
	for s := cc.GetState(); s != connectivity.Ready; s = cc.GetState() {
		switch s {
		case connectivity.Idle:
			cc.Connect()
		case connectivity.TransientFailure, connectivity.Shutdown:
			return errGone
		}
		if !cc.WaitForStateChange(ctx, s) {
			return ctx.Err()
		}
	}
	return nil
}

// problem returns the reason in an error response, one line: the detail of an
// RFC 9457 problem, or the first words of what a proxy in between answered.
func problem(body io.Reader) string {
	raw, err := io.ReadAll(io.LimitReader(body, 1024))
	if err != nil {
		return ""
	}
	var p struct{ Title, Detail string }
	if json.Unmarshal(raw, &p) == nil {
		return oneLine(cmp.Or(p.Detail, p.Title))
	}
	return oneLine(string(raw))
}

// maxReason is the longest reason in runes: two lines of a terminal.
const maxReason = 160

// oneLine makes text from the network fit for a terminal: no control
// characters, no line breaks, no longer than maxReason.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > maxReason {
		runes = append(runes[:maxReason-1], '…')
	}
	return string(runes)
}

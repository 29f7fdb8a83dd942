package path

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// webSocketAfter is how long the upgrade to DERP may be without an answer before a
// WebSocket is tried beside it: longer than a round trip round the world takes, for
// four of them make a connection with TLS.
const webSocketAfter = 1200 * time.Millisecond

// webSocketMessage is how long a message may be, in bytes: relays of the library that
// ours begin with take 32 KiB.
const webSocketMessage = 16 << 10

// opened is a connection that a relay has agreed to speak DERP on.
type opened struct {
	conn net.Conn
	br   *bufio.Reader // holds whatever came right behind the answer
	// local is this end's address.
	local net.Addr
	// webSocket says that DERP is within one.
	webSocket bool
}

// openRelay connects to a relay by what gets through. The upgrade to DERP costs
// least, but there are proxies that break it; a WebSocket is tried once it has
// failed, or has gone without an answer for a while. An error of the first alone is
// returned when there is no way to the relay at all.
func openRelay(ctx context.Context, u *url.URL, pin string, roots *x509.CertPool) (opened, error) {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	type result struct {
		opened
		err error
	}
	results := make(chan result, 2)
	try := func(open func(context.Context, *url.URL, string, *x509.CertPool) (opened, error)) {
		o, err := open(ctx, u, pin, roots)
		results <- result{o, err}
	}
	go try(openUpgrade)
	second := time.NewTimer(webSocketAfter)
	defer second.Stop()
	var failed error
	for begun, ended := 1, 0; ended < begun; {
		select {
		case <-second.C:
			if begun == 1 {
				begun++
				go try(openWebSocket)
			}
		case r := <-results:
			ended++
			if r.err == nil {
				giveUp()
				for ; ended < begun; ended++ { // the other's
					if late := <-results; late.err == nil {
						late.conn.Close()
					}
				}
				return r.opened, nil
			}
			if failed == nil {
				failed = r.err
			} else {
				failed = fmt.Errorf("%w; %w", failed, r.err) // one line
			}
			if begun == 1 && errors.Is(r.err, errUpgrade) {
				begun++
				go try(openWebSocket)
			}
		}
	}
	return opened{}, failed
}

// errUpgrade is that something answers there which does not let an upgrade to DERP
// through, or is no relay.
var errUpgrade = errors.New("upgrade to DERP failed")

// openUpgrade has an HTTP connection upgraded to DERP.
func openUpgrade(ctx context.Context, u *url.URL, pin string, roots *x509.CertPool) (opened, error) {
	conn, err := dialHTTP(ctx, u, pin, roots)
	if err != nil {
		return opened{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	br, err := upgradeDERP(conn, u)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		conn.Close()
		return opened{}, fmt.Errorf("%w: %w", errUpgrade, err)
	}
	return opened{conn: conn, br: br, local: conn.LocalAddr()}, nil
}

// openWebSocket opens a WebSocket for DERP.
func openWebSocket(ctx context.Context, u *url.URL, pin string, roots *x509.CertPool) (opened, error) {
	var dialed atomic.Pointer[net.Conn]
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialHTTP(ctx, u, pin, roots)
		if err == nil {
			dialed.Store(&conn)
		}
		return conn, err
	}
	web := &http.Client{
		Transport:     &http.Transport{DialContext: dial, DialTLSContext: dial},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ws, _, err := websocket.Dial(ctx, u.JoinPath("derp").String(), &websocket.DialOptions{
		HTTPClient: web, Subprotocols: []string{"derp"}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return opened{}, fmt.Errorf("WebSocket: %w", err)
	}
	if ws.Subprotocol() != "derp" {
		ws.CloseNow()
		return opened{}, errors.New("WebSocket: what answers does not speak DERP")
	}
	conn := webSocketConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}
	return opened{conn: conn, br: bufio.NewReaderSize(conn, relayReadSize), local: (*dialed.Load()).LocalAddr(), webSocket: true}, nil
}

// webSocketConn is a WebSocket as a connection that ends at once.
type webSocketConn struct {
	net.Conn
	ws *websocket.Conn
}

// Write sends b in messages that relays take.
func (c webSocketConn) Write(b []byte) (sent int, err error) {
	for len(b) > 0 && err == nil {
		n, e := c.Conn.Write(b[:min(len(b), webSocketMessage)])
		sent, b, err = sent+n, b[n:], e
	}
	return sent, err
}

// Close ends it without the other end's consent.
func (c webSocketConn) Close() error { return c.ws.CloseNow() }

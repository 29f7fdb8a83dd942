package derp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
	"go4.org/mem"
	"tailscale.com/derp"
	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
)

const (
	// greetTimeout bounds how long a client may take until it is let in.
	greetTimeout = 10 * time.Second

	// infoMost is how long what a client says of itself may be, in bytes. It is a
	// stranger yet.
	infoMost = 16 << 10

	// greetSize is the buffer of a greeting, in bytes: what a client says mostly.
	greetSize = 512
)

// ServeHTTP takes connections over whose client wants to speak DERP, as it is or in a
// WebSocket, and answers its probes.
func (s *switchboard) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch upgrade := strings.ToLower(req.Header.Get("Upgrade")); {
	case req.URL.Path == "/derp/probe" || req.URL.Path == "/derp/latency-check":
		derpserver.ProbeHandler(w, req)
	case upgrade == "websocket" && strings.Contains(req.Header.Get("Sec-Websocket-Protocol"), "derp"):
		s.takeWebSocket(w, req)
	case upgrade == "derp" || upgrade == "websocket": // which clients of old say, and mean the same
		s.take(w, req)
	default:
		http.Error(w, "DERP requires connection upgrade", http.StatusUpgradeRequired)
	}
}

// take takes over the connection of a request. What served the request ends, with all
// it holds: a relay has many connections.
func (s *switchboard) take(w http.ResponseWriter, req *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot be taken over: "+err.Error(), http.StatusInternalServerError)
		return
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // it is there
	early = append([]byte(nil), early...)
	if s.enter(conn) != nil {
		conn.Close()
		return
	}
	var answer []byte
	if req.Header.Get(derp.FastStartHeader) != "1" {
		answer = fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: %d\r\nDerp-Public-Key: %s\r\n\r\n",
			derp.ProtocolVersion, hex.EncodeToString(s.public.AppendTo(nil)))
	}
	go func() { // close waits for it
		defer s.leave(conn)
		s.serve(conn, answer, early, req.RemoteAddr)
	}()
}

// takeWebSocket speaks DERP in a WebSocket.
func (s *switchboard) takeWebSocket(w http.ResponseWriter, req *http.Request) {
	ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{
		Subprotocols: []string{"derp"}, OriginPatterns: []string{"*"}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil { // and has answered
		s.log.Debug("a WebSocket was refused", "from", req.RemoteAddr, "err", err)
		return
	}
	conn := webSocket{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}
	if s.enter(conn) != nil {
		conn.Close()
		return
	}
	go func() { // close waits for it
		defer s.leave(conn)
		s.serve(conn, nil, nil, req.RemoteAddr)
	}()
}

// webSocket is a WebSocket as a connection that ends without its client's consent.
type webSocket struct {
	net.Conn
	ws *websocket.Conn
}

// Close ends it.
func (c webSocket) Close() error { return c.ws.CloseNow() }

// cut ends a connection without a word, which TLS would have for its client.
func cut(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close() // it may be closed
}

// serve greets a client and serves it until its connection ends. answer is to be
// written first, and early was read already.
func (s *switchboard) serve(conn net.Conn, answer, early []byte, from string) {
	ctx := context.Background() // ends with the connection
	l, early, err := s.greet(ctx, conn, answer, early, from)
	if err == nil {
		err = l.run(ctx, early)
	}
	if !expected(err) {
		s.log.Debug("a client's connection ended", "from", from, "err", err)
	}
	if errors.Is(err, errFrame) {
		s.note(endedFrame, from, err)
	}
}

// note counts a connection that the relay ends, and says so now and then.
func (s *switchboard) note(why endReason, from string, err error) {
	s.counts.ended[why].Inc()
	if s.said[why].may(time.Now()) {
		s.log.Warn("the relay ends a client's connection; others like it are only counted for a while", "reason", why.String(), "from", from, "err", err)
	}
}

// errRefused is that a key may not come in.
var errRefused = errors.New("the key is not admitted")

// greet exchanges keys with a client, and asks whether it may come in. What it has
// sent behind that is returned.
func (s *switchboard) greet(ctx context.Context, conn net.Conn, answer, early []byte, from string) (*line, []byte, error) {
	if err := conn.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return nil, nil, err
	}
	answer = append(answer, frame(derp.FrameServerKey, s.public.AppendTo([]byte(derp.Magic)))...)
	if _, err := conn.Write(answer); err != nil {
		return nil, nil, err
	}
	reader := bufio.NewReaderSize(io.MultiReader(strings.NewReader(string(early)), conn), greetSize)
	k, info, err := s.readInfo(reader)
	switch {
	case errors.Is(err, errFrame):
		return nil, nil, err
	case err != nil:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.note(endedGreeting, from, err)
		}
		return nil, nil, fmt.Errorf("greeting: %w", err)
	}
	if err := s.vouch(ctx, k, info); err != nil {
		s.note(endedRefused, from, err)
		return nil, nil, err
	}
	said, err := json.Marshal(derp.ServerInfo{Version: derp.ProtocolVersion})
	if err != nil {
		return nil, nil, err
	}
	at, _ := netip.ParseAddrPort(from) // else it has none
	l := newLine(s, conn, k, info, at)
	greeting := frame(derp.FrameServerInfo, s.priv.SealTo(k, said))
	b := l.out.batchLocked() // nobody else has it yet
	b.buf, b.control = append(b.buf, greeting...), len(greeting)
	rest, _ := reader.Peek(reader.Buffered()) // it is there
	return l, append([]byte(nil), rest...), conn.SetDeadline(time.Time{})
}

// readInfo reads who the client is.
func (s *switchboard) readInfo(r *bufio.Reader) (k key.NodePublic, info derp.ClientInfo, err error) {
	var head [derp.FrameHeaderLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return k, info, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if derp.FrameType(head[0]) != derp.FrameClientInfo || size < derp.KeyLen+derp.NonceLen || size > infoMost {
		return k, info, fmt.Errorf("%w: kind %d of %d bytes in place of a greeting", errFrame, head[0], size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return k, info, err
	}
	k = key.NodePublicFromRaw32(mem.B(body[:derp.KeyLen]))
	if k.IsZero() { // which the library panics at
		return k, info, fmt.Errorf("%w: a key of zeros", errFrame)
	}
	said, ok := s.priv.OpenFrom(k, body[derp.KeyLen:])
	if !ok {
		return k, info, fmt.Errorf("%w: a greeting sealed for another", errFrame)
	}
	if err := json.Unmarshal(said, &info); err != nil {
		return k, info, fmt.Errorf("%w: greeting: %w", errFrame, err)
	}
	return k, info, nil
}

// vouch says whether a client may come in: relays of the region may.
func (s *switchboard) vouch(ctx context.Context, k key.NodePublic, info derp.ClientInfo) error {
	if s.isSibling(info.MeshKey) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	ok, err := s.admit(ctx, k)
	switch {
	case err != nil:
		s.log.Warn("cannot tell whether to admit a node to the relay", "err", err)
		return err
	case !ok:
		return errRefused
	}
	return nil
}

package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// frameBuffer is for the frames of a silent connection, which are short: what
// is longer passes by it. What is sent may be about a peer, what comes are mostly
// pings: reading has half. net/http would leave each connection 8 KiB.
const frameBuffer = 512

// slimHijacker hands an upgraded connection over with small buffers, and keeps
// it.
type slimHijacker struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *slimHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What has been read already is fully buffered, or Peek would read on.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	r := io.Reader(conn)
	if len(early) > 0 {
		r = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	slim := bufio.NewReadWriter(bufio.NewReaderSize(r, max(frameBuffer/2, len(early))), bufio.NewWriterSize(conn, frameBuffer))
	if len(early) > 0 {
		// Whoever takes over looks at what is buffered, not at the connection.
		if _, err := slim.Reader.Peek(len(early)); err != nil {
			conn.Close()
			return nil, nil, err
		}
	}
	h.conn = conn
	return conn, slim, nil
}

// slimConn carries the bytes of HTTP/2 in the binary messages of a WebSocket.
// Unlike websocket.NetConn it has no timers and contexts of its own: deadlines
// are those of the connection below, which end it for good, as gRPC wants it.
type slimConn struct {
	net.Conn // below the WebSocket
	ws       *websocket.Conn
	message  io.Reader // what is being read of a message; nil between two
}

func (c *slimConn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			kind, r, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, err
			}
			if kind != websocket.MessageBinary {
				c.ws.CloseNow()
				return 0, errNotBinary
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

func (c *slimConn) Write(p []byte) (int, error) {
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close does not wait for the peer, as the WebSocket's own farewell does for up
// to 5 s: HTTP/2 has said all there was to say.
func (c *slimConn) Close() error { return c.ws.CloseNow() }

var errNotBinary = errors.New("rpc: a message of text")

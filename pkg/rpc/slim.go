package rpc

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
)

// frameBuffer is for the frames of a silent connection, which are short: what
// is longer passes by it. net/http would leave each connection 8 KiB.
const frameBuffer = 1 << 10

// slimHijacker hands an upgraded connection over with small buffers.
type slimHijacker struct{ http.ResponseWriter }

func (h slimHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
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
	slim := bufio.NewReadWriter(bufio.NewReaderSize(r, max(frameBuffer, len(early))), bufio.NewWriterSize(conn, frameBuffer))
	if len(early) > 0 {
		// Whoever takes over looks at what is buffered, not at the connection.
		if _, err := slim.Reader.Peek(len(early)); err != nil {
			conn.Close()
			return nil, nil, err
		}
	}
	return conn, slim, nil
}

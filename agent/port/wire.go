package port

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Port is where an agent forwards on the mesh, over TCP and UDP: one that no
// program of a workspace is likely to want.
const Port = 7079

// What a request may ask for. A connection has one, and one answer, a line of JSON
// each.
const (
	// doList asks what listens.
	doList = "list"
	// doUnix connects to a unix socket: what follows the answer is its bytes.
	doUnix = "unix"
	// doUDP has datagrams go to a port. It holds as long as the connection.
	doUDP = "udp"
	// doListen listens in the workspace, for as long as the connection. What comes
	// is told as notices.
	doListen = "listen"
	// doTake takes over a connection that was accepted: what follows is its bytes.
	doTake = "take"
	// doRefuse closes one that could not be carried on.
	doRefuse = "refuse"
)

type request struct {
	Do      string `json:"do"`
	Network string `json:"network,omitempty"` // of doListen
	Address string `json:"address,omitempty"` // "host:port", or the path of a unix socket
	Port    uint16 `json:"port,omitempty"`    // of doUDP
	// Source is the port that the client's datagrams come from.
	Source uint16 `json:"source,omitempty"`
	// Session and ID name a connection that was accepted.
	Session uint32 `json:"session,omitempty"`
	ID      uint32 `json:"id,omitempty"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	// Address is where it listens.
	Address string `json:"address,omitempty"`
	// Session heads the datagrams of doUDP and doListen.
	Session   uint32      `json:"session,omitempty"`
	Listening []Listening `json:"listening,omitempty"`
}

// notice is what an agent tells while a session holds.
type notice struct {
	// Accepted is the id of a connection to take.
	Accepted uint32 `json:"accepted,omitempty"`
	// Heard says that datagrams of the client's have come.
	Heard bool `json:"heard,omitempty"`
	// Refused says that nothing listens where datagrams went.
	Refused bool `json:"refused,omitempty"`
}

const (
	// maxLine bounds a request, an answer and a notice: a few hundred ports.
	maxLine = 256 << 10

	// requestTimeout is how long a peer may take to say what it wants, and answers
	// how long an agent may take.
	requestTimeout = 10 * time.Second
	answerTimeout  = 15 * time.Second
)

// RefusedError is why an agent did not do what it was asked for.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// readLine reads a line of JSON byte by byte, so that what follows it is the
// caller's.
func readLine(r io.Reader, into any) error {
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		if b[0] == '\n' {
			break
		}
		if line = append(line, b[0]); len(line) > maxLine {
			return fmt.Errorf("port: a line of more than %d bytes", maxLine)
		}
	}
	if err := json.Unmarshal(line, into); err != nil {
		return fmt.Errorf("port: a line that is no JSON: %w", err)
	}
	return nil
}

func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("port: encode %T: %w", v, err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Datagrams of applications travel in pieces that fit every path, each with a
// header: session, flow, number of the datagram, index of the piece and how many
// there are.
const (
	headerLen = 12

	// pieceLen is what fits: IPv6's minimum, less its header, UDP's and ours.
	pieceLen = 1280 - 40 - 8 - headerLen

	// maxDatagram is the largest that UDP has.
	maxDatagram = 65535 - 8 - 20
)

// helloFlow is the flow of datagrams by which a client shows where it is.
const helloFlow = 0

type header struct {
	session, flow uint32
	number        uint16
	index, count  uint8
}

func (h header) put(b []byte) {
	binary.BigEndian.PutUint32(b, h.session)
	binary.BigEndian.PutUint32(b[4:], h.flow)
	binary.BigEndian.PutUint16(b[8:], h.number)
	b[10], b[11] = h.index, h.count
}

var errPiece = errors.New("port: not a piece of a datagram")

// parsePiece reads a packet. Every piece but the last is full.
func parsePiece(packet []byte) (header, []byte, error) {
	if len(packet) < headerLen {
		return header{}, nil, errPiece
	}
	h := header{
		session: binary.BigEndian.Uint32(packet), flow: binary.BigEndian.Uint32(packet[4:]),
		number: binary.BigEndian.Uint16(packet[8:]), index: packet[10], count: packet[11],
	}
	data := packet[headerLen:]
	last := h.index+1 == h.count
	if h.count == 0 || h.index >= h.count || len(data) > pieceLen || !last && len(data) != pieceLen ||
		int(h.count-1)*pieceLen >= maxDatagram {
		return header{}, nil, errPiece
	}
	return h, data, nil
}

// closeWrite ends one direction of a connection, or both where there is one.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// Package speed measures how much a tunnel carries: what the agent serves, and
// what asks it to.
//
// A test is a TCP connection to [Port]. The client says what it wants, a
// [Request] in a line of JSON, and the server answers with a line: an error, or
// that it is ready. Over TCP the data then follows on the same connection, from
// the client or, in reverse, from the server, until the sender closes its half.
// Over UDP it comes in datagrams to or from the UDP port of the same number, each
// headed by the number that the client has given to the test, and the connection
// is for telling how many were sent. At the end the server tells a [Count], of
// what it has received or sent.
//
// What a server does for a client is bounded: see [MaxDuration] and maxTests.
package speed

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// Port is where tests are served on the mesh, over TCP and UDP: one that no
// service of a workspace is known to use.
const Port = 7078

// MaxDuration is how long a test may last.
const MaxDuration = 60 * time.Second

const (
	// maxTests is how many tests a server runs at once: more would measure one
	// another.
	maxTests = 4

	// grace is how long a test may go on past its time: for what is still under
	// way, at the rate of a slow path.
	grace = 20 * time.Second

	// maxLine bounds a line of JSON.
	maxLine = 1 << 10

	// blockSize is what is read or written at once of a stream.
	blockSize = 128 << 10

	// datagramSize fits every path, with the headers inside and outside the tunnel.
	datagramSize = 1200

	// drain is how long the last datagrams may be behind the word that there are
	// no more.
	drain = 200 * time.Millisecond
)

// Request is what a client asks for.
type Request struct {
	// Seconds is how long to send.
	Seconds float64 `json:"seconds"`
	// Reverse has the server send.
	Reverse bool `json:"reverse,omitempty"`
	// Datagrams sends over UDP.
	Datagrams bool `json:"udp,omitempty"`
	// Number heads the datagrams of this test, and Port is the client's.
	Number uint64 `json:"number,omitempty"`
	Port   uint16 `json:"port,omitempty"`
}

func (r Request) duration() time.Duration { return time.Duration(r.Seconds * float64(time.Second)) }

// check returns what is wrong with a request.
func (r Request) check() error {
	// Written so that what is no number is wrong.
	if !(r.Seconds > 0 && r.Seconds <= MaxDuration.Seconds()) {
		return fmt.Errorf("a test lasts more than nothing and at most %v", MaxDuration)
	}
	return nil
}

// answer is what a server says to a request.
type answer struct {
	Error string `json:"error,omitempty"`
}

// Count is how much was received or sent, and from the first of it to the last.
type Count struct {
	Bytes     int64   `json:"bytes"`
	Datagrams int64   `json:"datagrams,omitempty"`
	Seconds   float64 `json:"seconds"`
}

func writeLine(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}

// readLine reads a line of JSON. The reader must have room for maxLine.
func readLine(r *bufio.Reader, into any) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// meter counts what passes.
type meter struct {
	count func(n int) // also told of each block; nil is nobody
	bytes int64
	first time.Time
	last  time.Time
}

func (m *meter) add(n int) {
	m.last = time.Now()
	if m.first.IsZero() {
		m.first = m.last
	}
	m.bytes += int64(n)
	if m.count != nil {
		m.count(n)
	}
}

func (m *meter) total() Count {
	return Count{Bytes: m.bytes, Seconds: m.last.Sub(m.first).Seconds()}
}

// receiveStream reads to the end.
func receiveStream(r io.Reader, m *meter) error {
	buf := make([]byte, blockSize)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			m.add(n)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sendStream writes for a time.
func sendStream(w io.Writer, lasts time.Duration, m *meter) error {
	buf := make([]byte, blockSize)
	for begin := time.Now(); time.Since(begin) < lasts; {
		n, err := w.Write(buf)
		m.add(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// sendDatagrams sends for a time, as fast as the tunnel takes it, and returns how
// many.
func sendDatagrams(send func([]byte) (int, error), number uint64, lasts time.Duration, m *meter) (int64, error) {
	buf := make([]byte, datagramSize)
	binary.BigEndian.PutUint64(buf, number)
	var sent int64
	for begin := time.Now(); time.Since(begin) < lasts; {
		n, err := send(buf)
		if err != nil {
			return sent, err
		}
		sent++
		m.add(n)
	}
	return sent, nil
}

// datagramNumber returns the number of the test that a datagram is of.
func datagramNumber(p []byte) (uint64, bool) {
	if len(p) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(p), true
}

func closeWrite(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }

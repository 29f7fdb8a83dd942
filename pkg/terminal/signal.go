package terminal

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Kinds of what is said about a peer connection.
const (
	SignalServers   = "servers"   // from the coordinator, to both ends: where they learn their own addresses
	SignalOffer     = "offer"     // from the page
	SignalAnswer    = "answer"    // from the agent
	SignalCandidate = "candidate" // from both: an address at which it may be found
	SignalLeave     = "leave"     // from the page: it goes on elsewhere, and nothing more is to be taken from a channel
	SignalLeft      = "left"      // from the agent: so it is, and how much was taken
	SignalOpened    = "opened"    // from the agent, to the coordinator: a terminal, or a request for files
	SignalClosed    = "closed"    // and its end, with what came and went
	SignalFailed    = "failed"    // from the coordinator: there will be none
)

// Signal is a message by which a page and an agent find each other, brought by the
// coordinator: to the page over a WebSocket, to the agent a line each over the mesh.
type Signal struct {
	Kind string `json:"kind"`
	SDP  string `json:"sdp,omitempty"`
	// ICE are URLs of STUN servers; one without a host is the coordinator's, as whoever
	// reads it knows that.
	ICE []string `json:"ice,omitempty"`
	// Files says to the agent that the page may have the workspace's files, as far as the
	// agent lets anybody.
	Files bool `json:"files,omitempty"`
	// Port says to the agent which port of the workspace the page may ask for what it
	// shows; zero is none.
	Port uint16 `json:"port,omitempty"`
	// File says of what was opened that it is a request for files.
	File bool `json:"file,omitempty"`
	// A candidate as browsers write it.
	Candidate *string `json:"candidate,omitempty"`
	Mid       *string `json:"mid,omitempty"`
	Line      *uint16 `json:"line,omitempty"`
	// ID is a channel's: the agent's own, or the page's, which it gives a channel as its
	// protocol. Rx and Tx are bytes; Rx is -1 of a channel that nobody knows.
	ID    string `json:"id,omitempty"`
	Rx    int64  `json:"rx,omitempty"`
	Tx    int64  `json:"tx,omitempty"`
	Text  string `json:"text,omitempty"`
	Again bool   `json:"again,omitempty"`
}

// MaxID bounds the ID that a page gives a channel.
const MaxID = 64

// At is what a channel of a page looks at. As the channel's label it is
// terminal/SESSION/COLUMNS/ROWS.
type At struct {
	Session       string
	Columns, Rows uint32
}

// sessionName is what agents let sessions be called.
var sessionName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`)

// IsSessionName reports whether a session can be called that.
func IsSessionName(s string) bool { return sessionName.MatchString(s) }

// ParseLabel reads a channel's label.
func ParseLabel(label string) (At, error) {
	part := strings.Split(label, "/")
	if len(part) != 4 || part[0] != "terminal" || !IsSessionName(part[1]) {
		return At{}, fmt.Errorf("%w: a channel called %.80q", ErrProtocol, label)
	}
	columns, err1 := strconv.ParseUint(part[2], 10, 16)
	rows, err2 := strconv.ParseUint(part[3], 10, 16)
	if err1 != nil || err2 != nil || columns == 0 || rows == 0 || columns > maxSide || rows > maxSide {
		return At{}, fmt.Errorf("%w: a channel called %.80q", ErrProtocol, label)
	}
	return At{part[1], uint32(columns), uint32(rows)}, nil
}

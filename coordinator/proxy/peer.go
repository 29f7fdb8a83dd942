package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/terminal"
)

// PeerPattern is where a page and an agent find each other, for http.ServeMux.
const PeerPattern = "GET /api/v1/workspaces/{owner}/{name}/agents/{agent}/peer"

const (
	// peerPort is where agents take what pages offer, on the mesh.
	peerPort = 7076

	// maxSignal bounds a message: an offer with its candidates.
	maxSignal = 64 << 10

	// maxPeerSessions bounds the terminals and requests of a page that are known of at once.
	maxPeerSessions = 64
)

// ServePeer carries what a page and an agent say to find each other, over a WebSocket
// and the mesh, and nothing else. Their peer connection lives for as long as this does,
// and so ends with the page's access.
func (p *Proxy) ServePeer(w http.ResponseWriter, r *http.Request) {
	request.Long(r.Context())
	who, err := p.cfg.Visitor(r)
	if err != nil {
		p.cfg.Refuse(w, err)
		return
	}
	// Visitor has looked where it comes from.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	ws.SetReadLimit(maxSignal)
	err = p.introduce(r.Context(), ws, who, r)
	text, again, left := p.whyNot(r.Context(), err)
	if left {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), sayTimeout)
	defer cancel()
	_ = signal(ctx, ws, terminal.Signal{Kind: terminal.SignalFailed, Text: text, Again: again}) // the page may have left
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

func signal(ctx context.Context, ws *websocket.Conn, m terminal.Signal) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("proxy: message %s: %w", m.Kind, err)
	}
	return ws.Write(ctx, websocket.MessageText, b)
}

// introduce carries messages until one of the two leaves.
func (p *Proxy) introduce(ctx context.Context, ws *websocket.Conn, who auth.Identity, r *http.Request) error {
	w, agent, err := p.find(ctx, who, r.PathValue("owner"), r.PathValue("name"), r.PathValue("agent"))
	if err != nil {
		return err
	}
	var ports []uint16
	files := p.mayFiles(ctx, who, agent) == nil
	if files {
		ports = append(ports, filesPort)
	}
	var port uint16
	if text := r.URL.Query().Get("port"); text != "" {
		switch n, err := parsePort(text); {
		case err != nil:
			return fmt.Errorf("%w: %w", terminal.ErrProtocol, err)
		case p.mayPort(ctx, who, agent, n) == nil:
			port, ports = n, append(ports, n)
			p.notePreviewed(r, who, w, agent, n)
		}
	}
	ctx, done, err := p.begin(ctx, who, w, agent.ID, ports...)
	if err != nil {
		return err
	}
	defer done()
	conn, err := p.node.dial(ctx, agent.ID, peerPort)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	to := json.NewEncoder(conn)
	if err := to.Encode(terminal.Signal{Kind: terminal.SignalServers, ICE: p.cfg.STUN(), Files: files, Port: port}); err != nil {
		return fmt.Errorf("proxy: a page's offer to agent %s: %w", agent.ID, err)
	}
	ended := make(chan error, 2)
	go func() { ended <- fromPage(ctx, ws, to) }() // ends with the WebSocket, which our caller closes
	go func() {
		ended <- p.fromAgent(ctx, conn, ws, peerOf{who: who, agent: agent.ID, from: p.cfg.RemoteAddr(r), open: make(map[string]store.SSHSession)})
	}()
	err = <-ended
	conn.Close() // which ends what the agent has open, and lets it tell of that no more
	return err
}

// fromPage passes on what a page may say.
func fromPage(ctx context.Context, ws *websocket.Conn, to *json.Encoder) error {
	for {
		_, p, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		var m terminal.Signal
		if err := json.Unmarshal(p, &m); err != nil {
			return terminal.ErrProtocol
		}
		switch m.Kind {
		case terminal.SignalOffer, terminal.SignalCandidate, terminal.SignalLeave:
		default:
			return terminal.ErrProtocol
		}
		if err := to.Encode(m); err != nil {
			return errAway{"The connection to the workspace broke."}
		}
	}
}

// peerOf is whose peer connection an agent tells of.
type peerOf struct {
	who   auth.Identity
	agent uuid.UUID
	from  string
	open  map[string]store.SSHSession
}

// fromAgent passes on what an agent says, and notes the terminals and requests that it tells of.
func (p *Proxy) fromAgent(ctx context.Context, conn net.Conn, ws *websocket.Conn, of peerOf) error {
	defer func() {
		for _, s := range of.open { // how much came and went there nobody knows
			s.EndedAt = time.Now()
			p.note(ctx, s)
		}
	}()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxSignal)
	for lines.Scan() {
		var m terminal.Signal
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("proxy: agent %s: %w", of.agent, err)
		}
		switch m.Kind {
		case terminal.SignalAnswer, terminal.SignalCandidate, terminal.SignalLeft:
			if err := signal(ctx, ws, m); err != nil {
				return err
			}
		case terminal.SignalOpened:
			if _, known := of.open[m.ID]; known || len(of.open) >= maxPeerSessions {
				return errors.New("proxy: an agent tells of more sessions than there can be")
			}
			s := store.SSHSession{ID: uuid.New(), AgentID: of.agent, UserID: of.who.UserID, From: of.from, Path: "webrtc", Kind: kindTerminal, StartedAt: time.Now()}
			if m.File {
				s.Kind = kindFiles
			}
			of.open[m.ID] = s
			p.note(ctx, s)
		case terminal.SignalClosed:
			if s, known := of.open[m.ID]; known {
				delete(of.open, m.ID)
				s.EndedAt, s.Rx, s.Tx = time.Now(), max(0, m.Rx), max(0, m.Tx)
				p.note(ctx, s)
			}
		}
	}
	return errAway{"The connection to the workspace broke."}
}

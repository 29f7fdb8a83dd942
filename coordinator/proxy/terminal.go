package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/request"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/terminal"
)

// TerminalPattern is where terminals are, for http.ServeMux. In its query are session,
// the name of the session, and columns and rows.
const TerminalPattern = "GET /api/v1/workspaces/{owner}/{name}/agents/{agent}/terminal"

const (
	// sayTimeout bounds how long a page may take to be told why there is no terminal.
	sayTimeout = 5 * time.Second

	// recordTimeout bounds the note of what was done, which does not wait for a page.
	recordTimeout = 10 * time.Second

	// defaultColumns and defaultRows are the size of a terminal that says none.
	defaultColumns, defaultRows = 80, 24
)

// errAway is an agent that is not there. It may come back.
type errAway struct{ why string }

func (e errAway) Error() string { return e.why }

// ServeTerminal serves one terminal over a WebSocket, as [terminal] says: a session of
// a workspace's agent, which outlives it.
func (p *Proxy) ServeTerminal(w http.ResponseWriter, r *http.Request) {
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
	ws.SetReadLimit(terminal.MaxMessage)
	conn := &messages{ws: ws}
	err = p.terminal(r.Context(), conn, who, r)
	if err == nil {
		_ = ws.Close(websocket.StatusNormalClosure, "") // the page may have left
		return
	}
	text, again, left := p.whyNot(r.Context(), err)
	if left {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), sayTimeout)
	defer cancel()
	_ = terminal.Send(ctx, conn, terminal.Message{Kind: terminal.KindFailed, Text: text, Again: again}) // the page may have left
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

// whyNot is what a page is told of why it cannot reach an agent, and whether it may in a
// moment; or that the page has left.
func (p *Proxy) whyNot(ctx context.Context, err error) (text string, again, left bool) {
	var away errAway
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "There is no such workspace or agent, or it is not yours to connect to.", false, false
	case errors.Is(err, errWithdrawn):
		return "Your access to the workspace has ended.", false, false
	case errors.Is(err, errDenied):
		return "The deployment's policy does not let you reach SSH of this workspace; ask who keeps it.", false, false
	case errors.Is(err, terminal.ErrProtocol):
		return "The page sent what makes no sense; load it again.", false, false
	case errors.As(err, &away):
		return away.why, true, false
	case errors.Is(err, terminal.ErrBroken):
		return "The connection to the workspace broke.", true, false
	case websocket.CloseStatus(err) != -1, errors.Is(err, io.EOF):
		return "", false, true
	}
	p.cfg.Logger.DebugContext(ctx, "a page cannot reach an agent", "err", err)
	return "The workspace cannot be reached right now.", true, false
}

// terminal serves a terminal until it ends, and returns why there is none.
func (p *Proxy) terminal(ctx context.Context, conn *messages, who auth.Identity, r *http.Request) error {
	w, agent, err := p.find(ctx, who, r.PathValue("owner"), r.PathValue("name"), r.PathValue("agent"))
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("session")
	if !terminal.IsSessionName(name) {
		return fmt.Errorf("%w: a session called %.80q", terminal.ErrProtocol, name)
	}
	ctx, done, err := p.begin(ctx, who, w, agent.ID)
	if err != nil {
		return err
	}
	defer done()
	s, err := p.openSession(ctx, agent, terminal.At{Session: name, Columns: side(r, "columns", defaultColumns), Rows: side(r, "rows", defaultRows)})
	if err != nil {
		return err
	}
	defer s.Close()
	// What waits for one of the two ends when the visit does.
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	recorded := p.record(ctx, who, agent.ID, p.cfg.RemoteAddr(r), kindTerminal, &conn.rx, &conn.tx)
	defer recorded()
	err = terminal.Serve(ctx, conn, s, func() (string, time.Duration) { return p.node.path(agent.ID) })
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errWithdrawn) {
		return cause
	}
	return err
}

// side reads a side of the terminal from the query.
func side(r *http.Request, name string, otherwise uint32) uint32 {
	n, err := strconv.ParseUint(r.URL.Query().Get(name), 10, 16)
	if err != nil || n == 0 {
		return otherwise
	}
	return uint32(n)
}

// find returns the agent that somebody wants to connect to. What they may not is
// answered as if it were not there.
func (p *Proxy) find(ctx context.Context, who auth.Identity, owner, name, agentName string) (store.Workspace, store.Agent, error) {
	if owner == "me" {
		owner = who.Username
	}
	w, err := p.cfg.Store.WorkspaceByName(ctx, owner, name)
	if err != nil {
		return w, store.Agent{}, err
	}
	if may, err := p.may(ctx, who, auth.Connect, w); err != nil || !may {
		return w, store.Agent{}, errors.Join(err, store.ErrNotFound)
	}
	for _, a := range w.Agents {
		if a.Name != agentName {
			continue
		}
		if a.State != store.AgentConnected {
			return w, a, errAway{fmt.Sprintf("Agent %s is %s.", a.Name, a.State)}
		}
		if admitted, err := p.cfg.Admits(ctx, who, a.ID, sshPort); err != nil || !admitted {
			return w, a, errors.Join(err, errDenied)
		}
		return w, a, nil
	}
	if len(w.Agents) == 0 {
		return w, store.Agent{}, errAway{fmt.Sprintf("The workspace is %s.", w.Phase)}
	}
	return w, store.Agent{}, store.ErrNotFound
}

// What people do in a workspace, as its history of sessions has it.
const (
	kindTerminal = "terminal"
	kindFiles    = "files"
)

// record notes in the history of the workspace's sessions that there is one, and, when
// the function that it returns is called, that it is over, and what came and went.
func (p *Proxy) record(ctx context.Context, who auth.Identity, agent uuid.UUID, from, kind string, rx, tx *atomic.Int64) (over func()) {
	path, _ := p.node.path(agent)
	s := store.SSHSession{ID: uuid.New(), AgentID: agent, UserID: who.UserID, From: from, Path: path, Kind: kind, StartedAt: time.Now()}
	p.note(ctx, s)
	return func() {
		s.EndedAt, s.Rx, s.Tx = time.Now(), rx.Load(), tx.Load()
		p.note(ctx, s)
	}
}

// note keeps what is known of a session, whether somebody waits for that or not.
func (p *Proxy) note(ctx context.Context, s store.SSHSession) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := p.cfg.Store.RecordSSHSessions(ctx, []store.SSHSession{s}); err != nil {
		p.cfg.Logger.WarnContext(ctx, "a session is missing in the history of sessions", "err", err)
	}
}

// messages carries a terminal's messages over a WebSocket, and counts what is typed
// and shown.
type messages struct {
	ws     *websocket.Conn
	rx, tx atomic.Int64
}

func (m *messages) Read(ctx context.Context) (text bool, p []byte, err error) {
	kind, p, err := m.ws.Read(ctx)
	if kind == websocket.MessageBinary {
		m.rx.Add(int64(len(p)))
	}
	return kind == websocket.MessageText, p, err
}

func (m *messages) Write(ctx context.Context, text bool, p []byte) error {
	if text {
		return m.ws.Write(ctx, websocket.MessageText, p)
	}
	m.tx.Add(int64(len(p)))
	return m.ws.Write(ctx, websocket.MessageBinary, p)
}

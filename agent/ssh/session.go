package ssh

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/pty"
	"github.com/aditmesh/adit/agent/stats"
)

const (
	// maxEnv and maxEnvBytes bound the environment that a client may send, by
	// count and by size. OpenSSH allows 1,000 variables.
	maxEnv      = 1000
	maxEnvBytes = 256 << 10
)

// session is one session channel. Its requests are handled one by one; the
// program it runs has a goroutine of its own.
//
//	open ──env, pty-req, auth-agent-req, x11-req──▶ open ──shell, exec, subsystem──▶ started ──▶ closed
type session struct {
	conn *connection
	ch   ssh.Channel
	ctx  context.Context // done when the channel or the connection closes

	named    string   // the session that outlives this one; empty for none
	own      bool     // the agent is to keep it
	env      []string // what the client sent
	envBytes int
	granted  []string // what was made for it: its agent's socket, its display
	started  bool

	mu     sync.Mutex
	pty    *ptyRequest   // guarded by mu once the program runs
	tty    *pty.Terminal // not yet started; nil without pty
	viewer pty.Viewer    // guarded by mu; of a named session
	proc   *pty.Process  // guarded by mu; set while a program runs
}

// ptyRequest is the request of RFC 4254, section 6.2.
type ptyRequest struct {
	Term                         string
	Columns, Rows, Width, Height uint32
	Modes                        string
}

func (p *ptyRequest) size() pty.Size {
	return pty.Size{Columns: p.Columns, Rows: p.Rows, Width: p.Width, Height: p.Height}
}

func (c *connection) serveSession(nc ssh.NewChannel) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return // the client is gone
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s := &session{conn: c, ch: ch, ctx: ctx}
	var running sync.WaitGroup
	for req := range reqs {
		ok := s.handle(req)
		if req.WantReply {
			// A client that is gone shows as the end of reqs.
			_ = req.Reply(ok, nil)
		}
		if ok {
			s.startIfAsked(req, &running)
		}
	}
	cancel() // the channel is closed: whatever still runs gets a hang-up
	running.Wait()
	if s.tty != nil {
		s.tty.Close()
	}
	ch.Close()
}

// handle does what a request asks for, but for starting a program, which has
// to wait until the client has its answer.
func (s *session) handle(req *ssh.Request) bool {
	switch req.Type {
	case "env":
		var kv struct{ Name, Value string }
		if ssh.Unmarshal(req.Payload, &kv) != nil || s.started {
			return false
		}
		if kv.Name == terminalName {
			s.named = kv.Value
			return true
		}
		if kv.Name == terminalOwn {
			s.own = kv.Value != ""
			return true
		}
		return s.setEnv(kv.Name, kv.Value)
	case "pty-req":
		var p ptyRequest
		return ssh.Unmarshal(req.Payload, &p) == nil && s.openTerminal(p)
	case "window-change":
		var w pty.Size
		return ssh.Unmarshal(req.Payload, &w) == nil && s.resize(w)
	case "signal":
		var sig struct{ Name string }
		return ssh.Unmarshal(req.Payload, &sig) == nil && s.signal(sig.Name)
	case "auth-agent-req@openssh.com":
		return s.grant("SSH agent", func() ([]string, error) {
			path, err := s.conn.forwardAgent()
			return []string{"SSH_AUTH_SOCK=" + path}, err
		})
	case "x11-req":
		var x x11Request
		return ssh.Unmarshal(req.Payload, &x) == nil && s.grant("display", func() ([]string, error) { return s.forwardX11(x) })
	case "shell", "exec", "subsystem":
		return s.mayStart(req)
	default:
		return false
	}
}

// grant makes something of the client's known to the session's program.
func (s *session) grant(what string, make func() ([]string, error)) bool {
	if s.started {
		return false
	}
	env, err := make()
	if err != nil {
		s.conn.server.log.Info("not forwarded", "what", what, "err", err)
		return false
	}
	s.granted = append(s.granted, env...)
	return true
}

// program reads what a request is to start.
func program(req *ssh.Request) (string, error) {
	var p struct{ Value string }
	if req.Type == "shell" {
		return "", nil
	}
	err := ssh.Unmarshal(req.Payload, &p)
	return p.Value, err
}

// mayStart reports whether a program may be started.
func (s *session) mayStart(req *ssh.Request) bool {
	p, err := program(req)
	if err != nil || s.started {
		return false
	}
	if req.Type == "subsystem" && s.conn.server.subsystem(p) != nil {
		return true
	}
	forbidden := s.conn.server.cfg.Policy.NoFileTransfer && (req.Type == "subsystem" || transfers(p))
	if forbidden {
		s.conn.server.log.Info("file transfer refused", "from", s.conn.RemoteAddr())
	}
	return !forbidden && (req.Type != "subsystem" || p == "sftp" && len(s.conn.server.cfg.FileServer) > 0)
}

// startIfAsked starts the program of a request that was granted.
func (s *session) startIfAsked(req *ssh.Request, running *sync.WaitGroup) {
	kind := stats.SSH
	switch req.Type {
	case "shell", "exec":
	case "subsystem":
		kind = stats.SFTP
	default:
		return
	}
	p, err := program(req)
	if err != nil {
		return // it would not have been granted
	}
	s.started = true
	s.conn.server.log.Info("ssh session", "from", s.conn.RemoteAddr(), "kind", req.Type, "pty", s.pty != nil)
	record := s.conn.server.audit(s.kindOf(req, p), s.conn.RemoteAddr())
	s.ch = s.conn.count(kind, s.ch, record)
	running.Go(func() {
		defer func() { record.End(time.Now()) }()
		switch {
		case req.Type != "subsystem":
			s.runCommand(p)
		case p == "sftp":
			s.serveSFTP()
		default:
			s.serveSubsystem(p)
		}
		// Ends the requests, too.
		s.ch.Close()
	})
}

// setEnv takes a variable, within bounds. Names with which a shell or the
// loader could be misled are the client's to set: they are its own processes.
func (s *session) setEnv(name, value string) bool {
	size := len(name) + len(value) + 2
	if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) ||
		len(s.env) >= maxEnv || s.envBytes+size > maxEnvBytes {
		return false
	}
	s.env = append(s.env, name+"="+value)
	s.envBytes += size
	return true
}

// openTerminal opens the terminal of a program that is yet to be started. Where
// there is none, the client is told, and may go on without.
func (s *session) openTerminal(p ptyRequest) bool {
	if s.started || s.pty != nil {
		return false
	}
	tty, err := pty.Open(p.size(), p.Modes)
	if err != nil {
		s.conn.server.log.Info("no terminal", "err", err)
		return false
	}
	s.pty, s.tty = &p, tty
	return true
}

func (s *session) resize(w pty.Size) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pty == nil {
		return false
	}
	s.pty.Columns, s.pty.Rows, s.pty.Width, s.pty.Height = w.Columns, w.Rows, w.Width, w.Height
	switch {
	case s.viewer != nil:
		return s.viewer.Resize(w) == nil
	case s.named != "":
		return true // it is about to look
	}
	return s.tty.Resize(w) == nil
}

func (s *session) signal(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig, ok := signalNumbers[name]
	return ok && s.proc != nil && s.proc.Signal(sig) == nil
}

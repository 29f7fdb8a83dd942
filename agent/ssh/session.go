package ssh

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	gssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

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
//	open ──env, pty-req──▶ open ──shell, exec, subsystem──▶ started ──▶ closed
type session struct {
	server *Server
	conn   ssh.ConnMetadata
	ch     ssh.Channel
	ctx    context.Context // done when the channel or the connection closes

	env      []string
	envBytes int
	pty      *ptyRequest
	started  bool

	mu   sync.Mutex
	proc *process // guarded by mu; set while a program runs
}

// ptyRequest is the request of RFC 4254, section 6.2.
type ptyRequest struct {
	Term                         string
	Columns, Rows, Width, Height uint32
	Modes                        string
}

// windowChange is the request of RFC 4254, section 6.7.
type windowChange struct{ Columns, Rows, Width, Height uint32 }

func (s *Server) handleSession(_ *gssh.Server, conn *ssh.ServerConn, newChan ssh.NewChannel, connCtx gssh.Context) {
	s.sessions.Add(1)
	defer s.sessions.Done()
	ch, reqs, err := newChan.Accept()
	if err != nil {
		return // the client is gone
	}
	ctx, cancel := context.WithCancel(connCtx)
	sess := &session{server: s, conn: conn, ch: ch, ctx: ctx}
	var running sync.WaitGroup
	for req := range reqs {
		ok := sess.handle(req)
		if req.WantReply {
			// A client that is gone shows as the end of reqs.
			_ = req.Reply(ok, nil)
		}
		if ok {
			sess.startIfAsked(req, &running)
		}
	}
	cancel() // the channel is closed: whatever still runs gets a hang-up
	running.Wait()
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
		return s.setEnv(kv.Name, kv.Value)
	case "pty-req":
		var p ptyRequest
		if ssh.Unmarshal(req.Payload, &p) != nil || s.started || s.pty != nil {
			return false
		}
		s.pty = &p
		return true
	case "window-change":
		var w windowChange
		if ssh.Unmarshal(req.Payload, &w) != nil || s.pty == nil {
			return false
		}
		return s.resize(w)
	case "signal":
		var sig struct{ Name string }
		return ssh.Unmarshal(req.Payload, &sig) == nil && s.signal(sig.Name)
	case "shell":
		return !s.started
	case "exec", "subsystem":
		var p struct{ Value string }
		if ssh.Unmarshal(req.Payload, &p) != nil || s.started {
			return false
		}
		return req.Type == "exec" || p.Value == "sftp"
	default:
		return false
	}
}

// startIfAsked starts the program of a request that was granted.
func (s *session) startIfAsked(req *ssh.Request, running *sync.WaitGroup) {
	var p struct{ Value string }
	switch req.Type {
	case "shell":
	case "exec", "subsystem":
		if ssh.Unmarshal(req.Payload, &p) != nil {
			return
		}
	default:
		return
	}
	s.started = true
	s.server.log.Info("ssh session", "from", s.conn.RemoteAddr(), "kind", req.Type, "pty", s.pty != nil)
	kind := stats.SSH
	if req.Type == "subsystem" {
		kind = stats.SFTP
	}
	s.ch = s.server.count(kind, s.ch)
	running.Go(func() {
		if req.Type == "subsystem" {
			s.serveSFTP()
		} else {
			s.runCommand(p.Value)
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

func (s *session) resize(w windowChange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pty.Columns, s.pty.Rows, s.pty.Width, s.pty.Height = w.Columns, w.Rows, w.Width, w.Height
	return s.proc == nil || s.proc.resize == nil || s.proc.resize(w) == nil
}

func (s *session) signal(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig, ok := signalNumbers[name]
	return ok && s.proc != nil && s.proc.Signal(sig) == nil
}

// environ returns the environment of the session's program, as a login would
// give it, with what the client sent on top.
func (s *session) environ() []string {
	a := s.server.cfg.Account
	env := append([]string(nil), s.server.cfg.Env...)
	env = append(env,
		"USER="+a.Name, "LOGNAME="+a.Name, "HOME="+a.Home, "SHELL="+a.Shell,
		"SSH_CLIENT="+addrFields(s.conn.RemoteAddr(), nil, s.conn.LocalAddr()),
		"SSH_CONNECTION="+addrFields(s.conn.RemoteAddr(), s.conn.LocalAddr(), s.conn.LocalAddr()),
	)
	if s.pty != nil && s.pty.Term != "" {
		env = append(env, "TERM="+s.pty.Term)
	}
	return append(env, s.env...)
}

// addrFields writes "ADDR PORT [ADDR] PORT" as OpenSSH does.
func addrFields(remote, local, port net.Addr) string {
	rhost, rport, _ := net.SplitHostPort(remote.String())
	_, lport, _ := net.SplitHostPort(port.String())
	if local == nil {
		return fmt.Sprintf("%s %s %s", rhost, rport, lport)
	}
	lhost, _, _ := net.SplitHostPort(local.String())
	return fmt.Sprintf("%s %s %s %s", rhost, rport, lhost, lport)
}

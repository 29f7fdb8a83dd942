// Package ssh is the agent's SSH server.
//
// It asks for no password and no key: it must only ever be served on the mesh,
// where WireGuard has proven who is at the other end, and the packet filter
// that they may be. Sessions run as the agent's own user, whatever name the
// client gives.
//
// A [Server] serves listeners until Close, which ends every connection and waits
// for the processes of its sessions.
package ssh

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/audit"
	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/agent/pty"
	"github.com/aditmesh/adit/agent/stats"
)

// Config configures a Server.
type Config struct {
	// HostKey identifies the workspace to SSH clients.
	HostKey ssh.Signer
	// Account is whom sessions run as; see [CurrentAccount].
	Account Account
	// Env is the environment that sessions start from.
	Env []string
	// EnvNow is what may be another each time and comes after Env; nil is nothing.
	EnvNow func() []string
	// EnvFile is what logins add to it, as /etc/environment; empty is none.
	EnvFile string
	// Dir is where sessions begin; the account's home if it is empty or not
	// there, as before a startup script has made it.
	Dir string
	// Start starts programs; nil starts them as they are.
	Start family.Starter
	// FileServer is the program that serves SFTP on its standard input and output,
	// with [ServeFiles], and its arguments; empty if there is none, nor SFTP.
	FileServer []string
	// Subsystems are those beside file transfer and the sessions by name, by their
	// names.
	Subsystems map[string]Subsystem
	// Policy is what sessions may not do. Zero forbids nothing.
	Policy Policy
	// Terminals are the sessions by name; nil makes some that end with the server.
	Terminals *pty.Sessions
	// Tally counts sessions and what goes through them; nil is nobody's.
	Tally *stats.Tally
	// Audit is told of what clients do, when it begins and when it ends; nil is
	// nobody. It may be called concurrently and must not block.
	Audit func(audit.Record)
	// Logger gets one line a session; nil discards.
	Logger *slog.Logger
	// AliveEvery is how often a client is asked for a sign of life, and AliveFor
	// how long that may take. Zero means 5 and 15 minutes.
	AliveEvery, AliveFor time.Duration
}

// Server is an SSH server.
type Server struct {
	cfg Config
	log *slog.Logger
	ssh *ssh.ServerConfig
	wg  sync.WaitGroup // connections

	mu        sync.Mutex // guards what follows
	closed    bool
	listeners map[net.Listener]bool
	conns     map[net.Conn]bool
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Terminals == nil {
		cfg.Terminals = new(pty.Sessions)
	}
	cfg.AliveEvery = cmp.Or(cfg.AliveEvery, defaultAliveEvery)
	cfg.AliveFor = cmp.Or(cfg.AliveFor, defaultAliveFor)
	s := &Server{
		cfg: cfg, log: cfg.Logger, ssh: &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-adit"},
		listeners: make(map[net.Listener]bool), conns: make(map[net.Conn]bool),
	}
	s.ssh.Ciphers = ciphers()
	s.ssh.AddHostKey(cfg.HostKey)
	return s
}

// ciphers are all that the library has, but on amd64 for ChaCha20, which OpenSSH would
// take and of which there is no fast version: it cost a third of the agent's time.
func ciphers() []string {
	all := ssh.SupportedAlgorithms().Ciphers
	if runtime.GOARCH != "amd64" {
		return all
	}
	return slices.DeleteFunc(all, func(c string) bool { return c == ssh.CipherChaCha20Poly1305 })
}

// Serve accepts connections on l until Close.
func (s *Server) Serve(l net.Listener) error {
	if !s.listening(l) {
		return l.Close()
	}
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.accept(conn)
		case s.isClosed():
			return nil
		default:
			return fmt.Errorf("ssh: serve: %w", err)
		}
	}
}

// listening notes a listener, unless the server is closed.
func (s *Server) listening(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[l] = !s.closed
	return !s.closed
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// accept serves a connection in a goroutine of its own.
func (s *Server) accept(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return
	}
	s.conns[conn] = true
	s.wg.Go(func() {
		s.serveConn(conn)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	})
}

// Close ends every connection and the sessions by name, and waits for their
// processes.
func (s *Server) Close() error {
	var err error
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	for c := range s.conns {
		_ = c.Close() // it may have ended by itself
	}
	s.mu.Unlock()
	s.cfg.Terminals.Close()
	s.wg.Wait()
	return err
}

// HostKey returns the host key of a seed of 32 bytes.
func HostKey(seed []byte) (ssh.Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("ssh: a host key's seed has %d bytes, not %d", ed25519.SeedSize, len(seed))
	}
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, fmt.Errorf("ssh: host key: %w", err)
	}
	return signer, nil
}

// TokenSeed derives a host key's seed from the agent's token, for a coordinator
// that gives none: the key stays when the agent restarts, on another host too,
// and only those who hold the token can have it. The next build makes another.
func TokenSeed(token string) ([]byte, error) {
	seed, err := hkdf.Key(sha256.New, []byte(token), nil, "adit ssh host key v1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("ssh: derive a host key's seed: %w", err)
	}
	return seed, nil
}

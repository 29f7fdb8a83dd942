// Package ssh is the agent's SSH server.
//
// It asks for no password and no key: it must only ever be served on the mesh,
// where WireGuard has proven who is at the other end, and the packet filter
// that they may be. Sessions run as the agent's own user, whatever name the
// client gives.
//
// A [Server] serves listeners until Close, which ends every session and waits
// for their processes.
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
	"sync"
	"time"

	gssh "github.com/gliderlabs/ssh"
	"golang.org/x/crypto/ssh"

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
	// Dir is where sessions begin; the account's home if it is empty or not
	// there, as before a startup script has made it.
	Dir string
	// Tally counts sessions and what goes through them; nil is nobody's.
	Tally *stats.Tally
	// Logger gets one line a session; nil discards.
	Logger *slog.Logger
	// AliveEvery is how often a client is asked for a sign of life, and AliveFor
	// how long that may take. Zero means 5 and 15 minutes.
	AliveEvery, AliveFor time.Duration
}

// Server is an SSH server.
type Server struct {
	cfg      Config
	log      *slog.Logger
	server   *gssh.Server
	sessions sync.WaitGroup
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.AliveEvery = cmp.Or(cfg.AliveEvery, defaultAliveEvery)
	cfg.AliveFor = cmp.Or(cfg.AliveFor, defaultAliveFor)
	s := &Server{cfg: cfg, log: cfg.Logger}
	forward := &gssh.ForwardedTCPHandler{}
	s.server = &gssh.Server{
		Version:      "adit",
		HostSigners:  []gssh.Signer{cfg.HostKey},
		ConnCallback: s.keepAlive,
		ChannelHandlers: map[string]gssh.ChannelHandler{
			"session":      s.handleSession,
			"direct-tcpip": s.handleForward,
		},
		RequestHandlers: map[string]gssh.RequestHandler{
			"tcpip-forward":        s.countReverse(forward.HandleSSHRequest),
			"cancel-tcpip-forward": s.countReverse(forward.HandleSSHRequest),
		},
		// Who may open a session may reach what its processes can anyway.
		LocalPortForwardingCallback:   func(gssh.Context, string, uint32) bool { return true },
		ReversePortForwardingCallback: func(gssh.Context, string, uint32) bool { return true },
	}
	return s
}

// Serve accepts connections on l until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.server.Serve(l); !errors.Is(err, gssh.ErrServerClosed) {
		return fmt.Errorf("ssh: serve: %w", err)
	}
	return nil
}

// Close ends every connection and waits for the sessions' processes.
func (s *Server) Close() error {
	err := s.server.Close()
	s.sessions.Wait()
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

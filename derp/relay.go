// Package derp is the relay: it carries WireGuard packets between nodes that
// have no direct path yet, and answers STUN, so that they find one. It never
// sees plaintext and has no database.
//
// A [Relay] is mounted into an HTTP server with [Relay.Handler] and answers
// STUN on its own UDP sockets. It admits the keys that [Config.Admit] vouches
// for and no others. Close ends both and waits.
package derp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"

	"github.com/aditmesh/adit/pkg/captive"
)

// Config configures a Relay.
type Config struct {
	// KeyFile holds the relay's private key and is made if it is missing.
	// Empty means a new key with each start.
	KeyFile string
	// Admit says whether the node with the given WireGuard public key may use
	// the relay. An error admits nobody. Nil admits nobody.
	Admit func(ctx context.Context, nodeKey [32]byte) (bool, error)
	// STUN lists the UDP addresses to answer STUN on. A node that is to see
	// whether its mapping varies needs two.
	STUN []string
	// UDPRelay is the UDP address to pass nodes' datagrams on at; empty is nowhere.
	// Only its port counts.
	UDPRelay string
	// ClientRate is how many bytes a second the relay takes from one client; what is
	// more it has the client send later. Zero is no limit.
	ClientRate uint64
	// TURN relays browsers on the first of them; nil does not.
	TURN *TURN
	// Logger gets events worth a line; nil discards.
	Logger *slog.Logger
}

// Relay is a running relay.
type Relay struct {
	log    *slog.Logger
	admit  func(ctx context.Context, nodeKey [32]byte) (bool, error)
	priv   key.NodePrivate
	board  *switchboard
	udp    *udpServer
	passes *udpRelay // nil if none does
	// refused counts connections that were one too many of their address.
	refused prometheus.Counter
}

// Start starts a relay. Ports that are taken are an error that matches the
// system's EADDRINUSE.
func Start(cfg Config) (*Relay, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	priv, err := loadKey(cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("derp: %w", err)
	}
	r := &Relay{log: cfg.Logger, admit: cfg.Admit, priv: priv, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "adit_relay_refused_connections_total", Help: "Connections that were one too many of their address.",
	})}
	if r.admit == nil {
		r.admit = func(context.Context, [32]byte) (bool, error) { return false, nil }
	}
	r.board = newSwitchboard(priv, cfg.ClientRate, r.mayEnter, cfg.Logger)
	if r.udp, err = serveUDP(cfg.STUN, cfg.TURN, r.log); err != nil {
		r.Close()
		return nil, fmt.Errorf("derp: %w", err)
	}
	if cfg.UDPRelay != "" {
		if r.passes, err = newUDPRelay(cfg.UDPRelay, r.log); err == nil {
			err = r.passes.join(r.board)
		}
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("derp: relay UDP on %s: %w", cfg.UDPRelay, err)
		}
	}
	return r, nil
}

// UDPRelay returns what nodes have to know to be relayed over UDP; its port is zero
// if they are not.
func (r *Relay) UDPRelay() UDPRelayInfo {
	if r.passes == nil {
		return UDPRelayInfo{}
	}
	return r.passes.info()
}

// STUNPorts returns the UDP ports that answer STUN, in the order of
// Config.STUN.
func (r *Relay) STUNPorts() []uint16 { return r.udp.ports }

// Handler serves /derp, the paths below it, and /generate_204.
func (r *Relay) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/derp", r.board)
	mux.Handle("/derp/", r.board)
	mux.HandleFunc(captive.Path, NoContent)
	return mux
}

// NoContent answers who wants to know whether it is a portal that answers here.
func NoContent(w http.ResponseWriter, r *http.Request) { derpserver.ServeNoContent(w, r) }

// Close disconnects every client and waits for what Start began.
func (r *Relay) Close() error {
	r.board.close()
	var err error
	if r.udp != nil {
		err = errors.Join(err, r.udp.close())
	}
	if r.passes != nil {
		err = errors.Join(err, r.passes.close())
	}
	return err
}

// burstOf is which part of a second's bytes a client may send at once.
const burstOf = 10

// admitTimeout bounds one question of whether a key may come in.
const admitTimeout = 5 * time.Second

// mayEnter says whether a client may come in: the relay's own part may.
func (r *Relay) mayEnter(ctx context.Context, k key.NodePublic) (bool, error) {
	if r.passes != nil && k == r.passes.key.Public() {
		return true, nil
	}
	return r.admit(ctx, [32]byte(k.AppendTo(nil)))
}

// publicKey is the relay's own.
func (r *Relay) publicKey() []byte { return r.priv.Public().AppendTo(nil) }

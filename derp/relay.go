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
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"tailscale.com/derp/derpserver"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
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
	log     *slog.Logger
	admit   func(ctx context.Context, nodeKey [32]byte) (bool, error)
	priv    key.NodePrivate
	core    atomic.Pointer[core]
	gate    *http.Server
	gateURL string
	udp     *udpServer
	passes  *udpRelay // nil if none does
	// refused counts connections that were one too many of their address.
	refused prometheus.Counter
	// clientRate is Config.ClientRate.
	clientRate uint64
	wg         sync.WaitGroup

	coreMu sync.Mutex // held while core changes
	closed bool       // guarded by coreMu
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
	r := &Relay{log: cfg.Logger, admit: cfg.Admit, priv: priv, clientRate: cfg.ClientRate, refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "adit_relay_refused_connections_total", Help: "Connections that were one too many of their address.",
	})}
	deepenSendQueues()
	if r.admit == nil {
		r.admit = func(context.Context, [32]byte) (bool, error) { return false, nil }
	}
	if err := r.openGate(); err != nil {
		r.Close()
		return nil, fmt.Errorf("derp: %w", err)
	}
	first, err := r.newCore("")
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("derp: %w", err)
	}
	r.core.Store(first)
	if r.udp, err = serveUDP(cfg.STUN, cfg.TURN, r.log); err != nil {
		r.Close()
		return nil, fmt.Errorf("derp: %w", err)
	}
	if cfg.UDPRelay != "" {
		if r.passes, err = newUDPRelay(cfg.UDPRelay, r.log); err == nil {
			err = r.passes.join(r.core.Load().server)
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
	derp := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.core.Load().handler.ServeHTTP(w, req) })
	mux.Handle("/derp", derp)
	mux.Handle("/derp/", derp)
	mux.HandleFunc("/generate_204", derpserver.ServeNoContent)
	return mux
}

// survive turns a panic into the end of its connection and one line of log:
// the library panics at a client key of zeros, which anybody can send.
func (r *Relay) survive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				r.log.Warn("a client broke the relay's protocol", "from", req.RemoteAddr, "err", v)
			}
		}()
		next.ServeHTTP(w, req)
	})
}

// Close disconnects every client and waits for what Start began.
func (r *Relay) Close() error {
	err := r.closeCore()
	if r.gate != nil {
		err = errors.Join(err, r.gate.Close())
	}
	if r.udp != nil {
		err = errors.Join(err, r.udp.close())
	}
	if r.passes != nil {
		err = errors.Join(err, r.passes.close())
	}
	r.wg.Wait()
	return err
}

// burstOf is which part of a second's bytes a client may send at once.
const burstOf = 10

const (
	// gateTimeout bounds one question of whether a key may come in.
	gateTimeout = 5 * time.Second

	// gateLimit bounds the question in bytes: a key and an address.
	gateLimit = 4 << 10
)

// openGate lets the DERP server ask about each client. The library asks by
// HTTP, so the question takes a way round over loopback, on a path that nobody
// else can guess.
func (r *Relay) openGate() error {
	var secret [16]byte
	rand.Read(secret[:])
	path := "/" + hex.EncodeToString(secret[:])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, r.serveGate)
	r.gate = &http.Server{Handler: mux, ReadTimeout: gateTimeout, WriteTimeout: gateTimeout, IdleTimeout: gateTimeout}
	r.wg.Go(func() {
		if err := r.gate.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("relay admits nobody any more", "err", err)
		}
	})
	r.gateURL = "http://" + l.Addr().String() + path
	return nil
}

func (r *Relay) serveGate(w http.ResponseWriter, req *http.Request) {
	var ask tailcfg.DERPAdmitClientRequest
	if err := json.NewDecoder(io.LimitReader(req.Body, gateLimit)).Decode(&ask); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), gateTimeout)
	defer cancel()
	ok, err := r.passes != nil && ask.NodePublic == r.passes.key.Public(), error(nil)
	if !ok {
		ok, err = r.admit(ctx, [32]byte(ask.NodePublic.AppendTo(nil)))
	}
	if err != nil {
		r.log.Warn("cannot tell whether to admit a node to the relay", "err", err)
		ok = false
	}
	w.Header().Set("Content-Type", "application/json")
	// The answer goes to ourselves; if it cannot, the client is refused.
	_ = json.NewEncoder(w).Encode(tailcfg.DERPAdmitClientResponse{Allow: ok})
}

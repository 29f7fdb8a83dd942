package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aditmesh/adit/pkg/peeruser"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

const (
	// localHeader bounds how long a program may take to say what it asks for.
	localHeader = 5 * time.Second

	// probeTimeout is how long whoever has the socket may take to take a connection.
	probeTimeout = time.Second

	// echoTimeout is how long an echo may take before it counts as lost, unless its
	// program is less patient.
	echoTimeout = 10 * time.Second
)

// socketName is the socket's in whatever place.
const socketName = "adit/up.sock"

// ErrUp is another daemon that has the socket.
var ErrUp = errors.New("adit is up already")

// DefaultSocket is where a daemon listens unless it is told otherwise: in a place of
// the system's for root's, in one of the user's for all others.
func DefaultSocket() string {
	if s := os.Getenv(SocketEnv); s != "" {
		return s
	}
	if os.Geteuid() <= 0 { // or on a system without users of numbers
		if dir := systemRunDir(); dir != "" {
			return filepath.Join(dir, socketName)
		}
	}
	return userSocket(socketName)
}

// SocketEnv names the variable of the environment that says where the socket is.
const SocketEnv = "ADIT_UP_SOCKET"

// Sockets are where a daemon may be found that the user may use.
func Sockets() []string {
	if s := os.Getenv(SocketEnv); s != "" {
		return []string{s}
	}
	list := []string{userSocket(socketName)}
	if dir := systemRunDir(); dir != "" {
		list = append([]string{filepath.Join(dir, socketName)}, list...)
	}
	return list
}

func userSocket(name string) string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, name)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, name)
}

// listener is the socket, and who may use it.
type listener struct {
	net.Listener
	users []int
}

// listenLocal takes the socket, also one that a daemon has left which was killed. An
// error matches ErrUp if a daemon has it that lives.
func listenLocal(path string, users []int) (*listener, error) {
	if conn, err := net.DialTimeout("unix", path, probeTimeout); err == nil {
		conn.Close()
		return nil, fmt.Errorf("daemon: %w", ErrUp)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("daemon: make a place for the socket: %w", err)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type()&(fs.ModeSocket|fs.ModeIrregular) == 0 {
		return nil, fmt.Errorf("daemon: listen on %s: it is no socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("daemon: remove the socket of a daemon that is gone: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("daemon: listen: %w", err)
	}
	// Until it is the user's, it is nobody's: who connects is looked at anyway.
	err = os.Chmod(path, 0o600)
	if err == nil && len(users) > 0 && users[0] > 0 && os.Geteuid() == 0 {
		err = os.Chown(path, users[0], -1)
	}
	if err != nil {
		return nil, fmt.Errorf("daemon: give the socket to its user: %w", errors.Join(err, l.Close()))
	}
	return &listener{l, users}, nil
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// serveLocal answers programs until stop.
func (d *daemon) serveLocal(l *listener) (stop func()) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.status()) })
	mux.HandleFunc("POST /v1/down", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{})
		d.stop(errDown)
	})
	mux.HandleFunc("POST /v1/yield", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{})
		d.stop(errYield)
	})
	mux.HandleFunc("GET /v1/peer/{id}", d.servePeer)
	mux.HandleFunc("POST /v1/connect/{id}", d.serveConnect)
	mux.HandleFunc("POST /v1/ping/{id}", d.servePing)
	mux.HandleFunc("GET /v1/events", d.serveEvents)
	allowed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		if uid, err := peeruser.Of(conn); err != nil || uid > 0 && !slices.Contains(l.users, uid) {
			refuse(w, http.StatusForbidden, errors.New("the daemon is another user's"))
			return
		}
		mux.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: allowed, ReadHeaderTimeout: localHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	return func() {
		cancel()
		end, giveUp := context.WithTimeout(context.Background(), probeTimeout)
		defer giveUp()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
		<-done
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked may be gone
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(&sdk.Error{Status: status, Detail: err.Error(), Code: codeOf(err)})
}

// kinds are the errors that callers tell apart, and their names on the way. Of an
// error that is of two kinds, the first counts.
var kinds = []struct {
	code string
	err  error
}{
	{"peer-not-found", tunnel.ErrPeerNotFound},
	{"peer-offline", tunnel.ErrPeerOffline},
	{"denied", tunnel.ErrDenied},
	{"timeout", context.DeadlineExceeded},
}

func codeOf(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.code
		}
	}
	return "failed"
}

// Connected is a peer that there is a tunnel to.
type Connected struct {
	Address netip.Addr `json:"address"`
}

func (d *daemon) servePeer(w http.ResponseWriter, r *http.Request) {
	h, node, err := d.find(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	p, ok := node.Peer(h.ID)
	if !ok {
		refuse(w, http.StatusNotFound, tunnel.ErrPeerNotFound)
		return
	}
	answer(w, p)
}

// serveConnect makes a tunnel, for as long as the program waits.
func (d *daemon) serveConnect(w http.ResponseWriter, r *http.Request) {
	h, _, err := d.find(r.PathValue("id"))
	if err == nil {
		err = d.connect(r.Context(), h.Addr)
	}
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	answer(w, Connected{h.Addr})
}

// Echo is an echo of a peer's.
type Echo struct {
	RTT time.Duration `json:"rtt"`
	// Error says why there was none.
	Error string `json:"error,omitempty"`
}

func (d *daemon) servePing(w http.ResponseWriter, r *http.Request) {
	h, node, err := d.find(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), echoTimeout)
	defer cancel()
	var e Echo
	if err = d.connect(ctx, h.Addr); err == nil {
		e.RTT, err = d.ping(ctx, node, h.Addr)
	}
	if err != nil {
		e.Error = err.Error()
	}
	answer(w, e)
}

// ping sends an echo by the interface, or else by the node's own stack.
func (d *daemon) ping(ctx context.Context, node *tunnel.Node, to netip.Addr) (time.Duration, error) {
	if d.ifc == "" {
		return node.Ping(ctx, to)
	}
	ctx, stop := node.UntilDenied(ctx, to)
	defer stop()
	return d.gate.Ping(ctx, node.Address(), to)
}

// serveEvents tells what happens, a line each, until the program goes.
func (d *daemon) serveEvents(w http.ResponseWriter, r *http.Request) {
	events, stop := d.events.listen()
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	if flush.Flush() != nil {
		return
	}
	enc := json.NewEncoder(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			if enc.Encode(e) != nil || flush.Flush() != nil {
				return
			}
		}
	}
}

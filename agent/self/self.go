// Package self is the workspace's own way to its agent: a unix socket on which
// programs of the workspace ask what it is, and have it stopped or kept running.
//
// Nobody needs a token for it: whoever may open the socket is known by their user, which
// the kernel tells. The only secret on it is a [Login], for some minutes, to go where links
// of the policy lead; the agent's own token is nobody's. A [Server] serves until Close,
// which removes the socket; a [Client] asks.
package self

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aditmesh/adit/agent/update"
	"github.com/aditmesh/adit/pkg/peeruser"
	"github.com/aditmesh/adit/pkg/sdk"
)

// SocketEnv is the variable in which programs of the workspace find the socket.
const SocketEnv = "ADIT_SOCKET"

const (
	// headerTimeout bounds how long a program may take to say what it wants, and
	// askTimeout how long the coordinator may take to answer.
	headerTimeout = 5 * time.Second
	askTimeout    = 30 * time.Second

	// updateTimeout is how long it may take to download a program.
	updateTimeout = 15 * time.Minute

	// maxBody bounds what a program says.
	maxBody = 4 << 10
)

// Agent is what the server asks for programs.
type Agent interface {
	// Env is the environment that the template and the agent give to programs.
	Env() []string
	// Ports are those that something listens on.
	Ports() []sdk.Port
	// Workspace, Stop and Extend ask the coordinator.
	Workspace(ctx context.Context) (sdk.Workspace, error)
	Stop(ctx context.Context) (sdk.Build, error)
	Extend(ctx context.Context, by time.Duration) (sdk.Workspace, error)
	// Update has the agent replace its own program, within some time.
	Update(ctx context.Context, within time.Duration) (update.Answer, error)
	// URL is where the coordinator is.
	URL() string
	// Login is what programs sign in with to go where links of the policy lead.
	Login(ctx context.Context) (Login, error)
}

// Login is what a program of the workspace signs in with, at its coordinator. Ask for it
// anew whenever it is used: it is good for some minutes.
type Login struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Config configures a Server.
type Config struct {
	Agent Agent
	// UIDs are the users whose programs are answered, beside root.
	UIDs []int
	// Logger gets who asked for what; nil discards.
	Logger *slog.Logger
}

// Server serves the socket.
type Server struct {
	cfg  Config
	dir  string
	web  *http.Server
	l    net.Listener
	done chan error
}

// Open makes the socket, in a directory of its own.
func Open(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := os.MkdirTemp("", "adit-agent-")
	if err != nil {
		return nil, fmt.Errorf("self: make a directory for the socket: %w", err)
	}
	path := filepath.Join(dir, "self.sock")
	l, err := net.Listen("unix", path)
	if err == nil {
		if err = os.Chmod(path, 0o600); err != nil {
			err = errors.Join(err, l.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("self: listen on %s: %w", path, errors.Join(err, os.RemoveAll(dir)))
	}
	s := &Server{cfg: cfg, dir: dir, l: l, done: make(chan error, 1)}
	s.web = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	go func() { s.done <- s.web.Serve(l) }()
	return s, nil
}

// Path is where the socket is.
func (s *Server) Path() string { return filepath.Join(s.dir, "self.sock") }

// Close ends the server and removes the socket.
func (s *Server) Close() error {
	err := s.web.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

type connKey struct{}

// askUpdate is the request for an update.
type askUpdate struct {
	WithinSeconds int64 `json:"within_seconds"`
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	answer(mux, "GET /env", func(context.Context, struct{}) ([]string, error) { return s.cfg.Agent.Env(), nil })
	answer(mux, "GET /ports", func(context.Context, struct{}) ([]sdk.Port, error) { return s.cfg.Agent.Ports(), nil })
	answer(mux, "GET /url", func(context.Context, struct{}) (string, error) { return s.cfg.Agent.URL(), nil })
	answer(mux, "GET /workspace", func(ctx context.Context, _ struct{}) (sdk.Workspace, error) { return s.cfg.Agent.Workspace(ctx) })
	answer(mux, "POST /login", func(ctx context.Context, _ struct{}) (Login, error) { return s.cfg.Agent.Login(ctx) })
	answer(mux, "POST /stop", func(ctx context.Context, _ struct{}) (sdk.Build, error) { return s.cfg.Agent.Stop(ctx) })
	answer(mux, "POST /extend", func(ctx context.Context, e sdk.Extend) (sdk.Workspace, error) {
		return s.cfg.Agent.Extend(ctx, time.Duration(e.Seconds)*time.Second)
	})
	answer(mux, "POST /update", func(ctx context.Context, a askUpdate) (update.Answer, error) {
		return s.cfg.Agent.Update(ctx, time.Duration(a.WithinSeconds)*time.Second)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		uid, err := peeruser.Of(conn)
		if err != nil || uid != 0 && !slices.Contains(s.cfg.UIDs, uid) {
			s.cfg.Logger.Warn("a program of another user asked the agent", "uid", uid, "err", err)
			refuse(w, http.StatusForbidden, "this socket is not for your user")
			return
		}
		limit := askTimeout
		if r.URL.Path == "/update" {
			limit = updateTimeout
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// answer answers a request with what f returns.
func answer[In, Out any](mux *http.ServeMux, pattern string, f func(context.Context, In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if r.Method == http.MethodPost && r.ContentLength != 0 {
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in); err != nil {
				refuse(w, http.StatusBadRequest, "what was sent is no JSON")
				return
			}
		}
		out, err := f(r.Context(), in)
		var refused *sdk.Error
		switch {
		case errors.As(err, &refused):
			refuse(w, refused.Status, refused.Detail)
		case err != nil:
			refuse(w, http.StatusBadGateway, err.Error())
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(out) // the program is gone if this fails
		}
	})
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(sdk.Error{Status: status, Detail: why}) // the program is gone if this fails
}

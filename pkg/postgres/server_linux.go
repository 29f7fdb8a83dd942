package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// startTimeout bounds a start, with the recovery after a crash.
	startTimeout = 60 * time.Second

	// stopTimeout is how long a fast shutdown may take before it becomes an
	// immediate one; the next start recovers from that.
	stopTimeout = 20 * time.Second

	// A server that died is started again after a pause that doubles.
	restartMin = 200 * time.Millisecond
	restartMax = 10 * time.Second

	// healthyAfter is how long a server must have run for its end to start
	// from restartMin again.
	healthyAfter = time.Minute
)

// superuser is the role that owns everything in the cluster.
const superuser = "adit"

// Server is a supervised Postgres.
type Server struct {
	log     *slog.Logger
	bin     string // directory of the binaries
	data    string
	sockets string
	owner   *syscall.Credential // nil: this process's own user
	lock    *os.File            // keeps others from the directory; supervise closes it

	stop chan struct{}
	once sync.Once
	done chan struct{}
}

// Start returns once the server answers. The context governs the start alone.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{log: cfg.Logger, stop: make(chan struct{}), done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.start(ctx, cfg.Dir); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, dir string) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if s.lock, err = lock(dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.lock.Close() // again, perhaps
		}
	}()
	if s.owner, err = unprivileged(); err != nil {
		return err
	}
	if s.data, err = s.place(dir); err != nil {
		return err
	}
	major, err := clusterVersion(s.data)
	if err != nil {
		return err
	}
	if s.bin, err = findBinaries(ctx, major); err != nil {
		return err
	}
	if major == 0 {
		if err = s.initdb(ctx); err != nil {
			return err
		}
	}
	if s.sockets, err = s.socketDir(); err != nil {
		return err
	}
	if err = s.endStale(ctx); err != nil {
		return err
	}
	first := make(chan error, 1)
	go s.supervise(first)
	if err = s.waitReady(ctx, first); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// URL returns the connection string of the server's default database.
func (s *Server) URL() string { return s.url("postgres") }

func (s *Server) url(database string) string {
	q := url.Values{"host": {s.sockets}, "user": {superuser}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// Close shuts the server down and waits until it has ended.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.done
	return nil
}

// supervise runs the server until Close. Its first end goes to first.
func (s *Server) supervise(first chan<- error) {
	defer close(s.done)
	defer s.leave()
	pause := restartMin
	for {
		began := time.Now()
		err := s.runOnce()
		select {
		case <-s.stop:
			return
		default:
		}
		select {
		case first <- err:
		default:
		}
		if time.Since(began) > healthyAfter {
			pause = restartMin
		}
		s.log.Error("Postgres ended by itself; starting it again", "err", err, "in", pause)
		select {
		case <-s.stop:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, restartMax)
	}
}

// leave gives up the directory, and the sockets' if that lies elsewhere.
func (s *Server) leave() {
	if !strings.HasPrefix(s.sockets, s.data) {
		_ = os.Remove(s.sockets) // one that is not empty is found again
	}
	_ = s.lock.Close()
}

// runOnce starts the server and returns when it has ended. The goroutine keeps
// its thread, because the kernel sends the parent-death signal when the thread
// that started a child ends.
func (s *Server) runOnce() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var tail tailBuffer
	cmd := exec.Command(filepath.Join(s.bin, "postgres"),
		"-D", s.data,
		"-c", "listen_addresses=",
		"-c", "unix_socket_directories="+s.sockets,
		"-c", "unix_socket_permissions=0700",
		"-c", "max_connections=50",
	)
	cmd.Dir, cmd.Env, cmd.Stderr = s.data, childEnv(), &tail
	// SIGINT is Postgres's fast shutdown.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true, Pdeathsig: syscall.SIGINT}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.log.Debug("Postgres started", "pid", cmd.Process.Pid, "data", s.data)
	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ended:
			return
		case <-s.stop:
		}
		terminate(cmd.Process, ended)
	}()
	err := cmd.Wait()
	close(ended)
	<-stopped
	return fmt.Errorf("%w: %s", errors.Join(errEnded, err), tail.lastLine())
}

var errEnded = errors.New("server ended")

// terminate asks a Postgres to shut down, fast and then at once.
func terminate(p *os.Process, ended <-chan struct{}) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if p.Signal(sig) != nil {
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(stopTimeout):
		}
	}
}

// waitReady returns when the server answers a query, or the error it ended
// with.
func (s *Server) waitReady(ctx context.Context, first <-chan error) error {
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case err := <-first:
			return err
		case <-ctx.Done():
			return fmt.Errorf("server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// childEnv is what Postgres gets to see: nothing of ours.
func childEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// CreateDatabase makes a database and returns its connection string.
func (s *Server) CreateDatabase(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return "", fmt.Errorf("postgres: create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("postgres: create database %s: %w", name, err)
	}
	return s.url(name), nil
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrInUse: another process runs the Postgres of this directory.
var ErrInUse = errors.New("in use by another adit server; stop it, or choose another --data-dir")

// lock takes dir for this process until the file is closed, or the process
// ends in whatever way.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "postgres.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// endStale ends a Postgres of this very cluster that an earlier process left
// behind; as a rule it is already shutting down.
func (s *Server) endStale(ctx context.Context) error {
	raw, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return nil // none
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || !isPostgresOf(pid, s.data) {
		return nil // stale file; Postgres itself removes it
	}
	s.log.Info("waiting for an earlier Postgres of this directory to end", "pid", pid)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the earlier Postgres %d: %w", pid, err)
	}
	for isPostgresOf(pid, s.data) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the earlier Postgres %d does not end: %w", pid, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// isPostgresOf reports whether process pid has the cluster as its working
// directory, as every Postgres does.
func isPostgresOf(pid int, data string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && cwd == data
}

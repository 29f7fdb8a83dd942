package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// outside is where root keeps the cluster of a data directory that the
// unprivileged user cannot enter, such as one below root's home.
const outside = "/var/lib/adit-postgres"

// socketPathMax is how long the path of a unix socket may be (sun_path, less
// its terminating zero).
const socketPathMax = 107

// socketName is what Postgres calls its socket on the default port.
const socketName = ".s.PGSQL.5432"

// unprivileged returns who is to run Postgres: nil, for oneself, unless that
// is root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("as root, Postgres needs another user to run it, and there is neither postgres nor nobody")
}

// place returns the cluster's directory for dir, made and owned as it must be.
// It is dir/postgres, or what a symbolic link of that name points to.
func (s *Server) place(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "postgres")
	if _, err := os.Lstat(data); errors.Is(err, fs.ErrNotExist) {
		if err := s.makePlace(dir, data); err != nil {
			return "", err
		}
	}
	data, err = filepath.EvalSymlinks(data)
	if err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	if s.owner != nil && !s.mayEnter(filepath.Dir(data)) {
		return "", fmt.Errorf("user %d, who runs Postgres, may not enter %s; choose another --data-dir, such as /var/lib/adit",
			s.owner.Uid, filepath.Dir(data))
	}
	return data, nil
}

func (s *Server) makePlace(dir, data string) error {
	at := data
	if s.owner != nil && !s.mayEnter(dir) {
		if err := os.MkdirAll(outside, 0o711); err != nil {
			return err
		}
		var err error
		if at, err = os.MkdirTemp(outside, "cluster-"); err != nil {
			return err
		}
		if err := os.Symlink(at, data); err != nil {
			return err
		}
	} else if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if s.owner == nil {
		return nil
	}
	return os.Chown(at, int(s.owner.Uid), int(s.owner.Gid))
}

// mayEnter reports whether the owner may search dir and all above it, by the
// permissions of everybody: it owns none of them and is in no special group.
func (s *Server) mayEnter(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// socketDir returns a directory for the socket that no other user can enter.
func (s *Server) socketDir() (string, error) {
	dir := filepath.Join(s.data, "run")
	if len(filepath.Join(dir, socketName)) > socketPathMax {
		// The same directory every time, or a killed server's stays behind.
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("adit-postgres-%d-%x", os.Geteuid(), hash(s.data)))
	}
	return dir, s.makeSocketDir(dir)
}

func (s *Server) makeSocketDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("socket directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	uid := os.Geteuid()
	if s.owner != nil {
		uid = int(s.owner.Uid)
		if err := os.Lchown(dir, uid, int(s.owner.Gid)); err != nil {
			return fmt.Errorf("socket directory: %w", err)
		}
	} else if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != uid {
		return fmt.Errorf("socket directory %s belongs to somebody else", dir)
	}
	if !info.IsDir() {
		return fmt.Errorf("socket directory %s is no directory", dir)
	}
	return os.Chmod(dir, 0o700)
}

// hash is FNV-1a, for a name.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
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

package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// outside is where root keeps the cluster of a data directory that the
// unprivileged user cannot enter, such as one below root's home.
const outside = "/var/lib/adit-postgres"

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

// place returns the cluster's directory for dir, which [Server.initdb] makes
// if there is none: dir/postgres, or what a symbolic link of that name points
// to.
func (s *Server) place(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	data := filepath.Join(dir, "postgres")
	switch _, err := os.Lstat(data); {
	case err == nil:
		if data, err = filepath.EvalSymlinks(data); err != nil {
			return "", fmt.Errorf("cluster directory: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cluster directory: %w", err)
	case s.owner != nil && !s.mayEnter(dir):
		return placeOutside(data)
	}
	if s.owner != nil && !s.mayEnter(filepath.Dir(data)) {
		return "", fmt.Errorf("user %d, who runs Postgres, may not enter %s; choose another --data-dir, such as /var/lib/adit",
			s.owner.Uid, filepath.Dir(data))
	}
	return data, nil
}

// placeOutside makes a place that everybody may pass through, and link a
// symbolic link to it.
func placeOutside(link string) (string, error) {
	if err := makePassable(outside); err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	data, err := os.MkdirTemp(outside, "cluster-")
	if err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	if err := os.Symlink(data, link); err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	return data, nil
}

// makePassable makes a directory that everybody may pass through and nobody
// else may list, whatever the umask.
func makePassable(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
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

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Inspect looks at a directory as Start would, and changes nothing. The directory
// need not exist.
func Inspect(ctx context.Context, dir string) (Inspected, error) {
	var in Inspected
	data := filepath.Join(dir, "postgres")
	major, err := clusterVersion(data)
	if err != nil {
		return in, fmt.Errorf("postgres: %w", err)
	}
	in.Cluster = major != 0
	if in.Binaries, err = findBinaries(ctx, major); err != nil {
		return in, fmt.Errorf("postgres: %w", err)
	}
	if in.Version, err = majorVersion(ctx, filepath.Join(in.Binaries, "postgres")); err != nil {
		return in, fmt.Errorf("postgres: %w", err)
	}
	if held(dir) {
		// The fifth line of its file says where its socket is.
		raw, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if lines := strings.Split(string(raw), "\n"); err == nil && len(lines) > 4 && filepath.IsAbs(lines[4]) {
			in.URL = (&Server{sockets: lines[4]}).URL()
		}
	}
	return in, nil
}

// held reports whether a server runs on the directory.
func held(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "postgres.lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		return errors.Is(err, fs.ErrPermission) // it is another user's
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

package postgres

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// socketPathMax is how long the path of a unix socket may be (sun_path, less
// its terminating zero).
const socketPathMax = 107

// socketName is what Postgres calls its socket on the default port.
const socketName = ".s.PGSQL.5432"

// socketDir returns a directory for the socket that no other user can enter.
func (s *Server) socketDir() (string, error) {
	dir := filepath.Join(s.data, "run")
	if len(filepath.Join(dir, socketName)) > socketPathMax {
		// The same directory every time, or a killed server's stays behind.
		sum := fnv.New64a()
		sum.Write([]byte(s.data))
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("adit-postgres-%d-%x", os.Geteuid(), sum.Sum64()))
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
	// Below a temporary directory somebody else may have been first.
	uids := []int{os.Geteuid()}
	if s.owner != nil {
		uids = append(uids, int(s.owner.Uid))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || !slices.Contains(uids, int(st.Uid)) {
		return fmt.Errorf("socket directory %s is no directory, or somebody else's; remove it", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	return s.give(dir)
}

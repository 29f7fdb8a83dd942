package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// clusterVersion returns the major version that made the cluster in data, and
// zero if there is none.
func clusterVersion(data string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cluster directory: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("cluster directory %s: PG_VERSION says %.20q", data, raw)
	}
	return major, nil
}

// initdb makes the cluster. It is made beside its place and moved there when
// it is whole, because one that was interrupted looks like one that is not.
func (s *Server) initdb(ctx context.Context) error {
	made := s.data + ".new"
	if err := os.RemoveAll(made); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(made, 0o700); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	if err := s.give(made); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"),
		"-D", made, "-U", superuser, "--auth=trust", // the socket's directory is the lock
		"--encoding=UTF8", "--locale=C", "--no-instructions")
	cmd.Dir, cmd.Env = made, childEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		var tail tailBuffer
		tail.Write(out)
		return fmt.Errorf("make the cluster in %s: %w: %s", made, err, tail.lastLine())
	}
	if err := os.Remove(s.data); err != nil && !errors.Is(err, fs.ErrNotExist) { // may be empty
		return fmt.Errorf("cluster directory holds something else: %w", err)
	}
	if err := os.Rename(made, s.data); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	return nil
}

// give makes dir the property of the user that runs Postgres.
func (s *Server) give(dir string) error {
	if s.owner == nil {
		return nil
	}
	if err := os.Chown(dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		return fmt.Errorf("give %s to the user that runs Postgres: %w", dir, err)
	}
	return nil
}

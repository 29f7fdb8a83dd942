package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// ID returns what tells this host, or rather its data directory, from others.
func (h Host) ID() (string, error) {
	if err := h.check(); err != nil {
		return "", err
	}
	file := filepath.Join(h.Dir, "host-id")
	if id, err := os.ReadFile(file); !errors.Is(err, fs.ErrNotExist) {
		return strings.TrimSpace(string(id)), wrap("read the host's id", err)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return "", wrap("make the data directory", err)
	}
	// Two jobs may come here at once. The one whose link is second reads what
	// the first wrote, whole.
	draft := file + "." + uuid.NewString()
	defer os.Remove(draft)
	if err := os.WriteFile(draft, []byte(uuid.NewString()+"\n"), 0o600); err != nil {
		return "", wrap("write the host's id", err)
	}
	if err := os.Link(draft, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", wrap("write the host's id", err)
	}
	id, err := os.ReadFile(file)
	return strings.TrimSpace(string(id)), wrap("read the host's id", err)
}

// MakeHome makes a workspace's home, unless it is there.
func (h Host) MakeHome(workspace uuid.UUID) error {
	if err := h.check(workspace); err != nil {
		return err
	}
	return wrap("make the home of "+workspace.String(), os.MkdirAll(h.Home(workspace), 0o700))
}

// Start makes sure that a supervisor with this spec runs: one that does stays,
// one with another spec is replaced. It returns once the agent's first process
// is about to be started. The context governs the wait for a predecessor.
func (h Host) Start(ctx context.Context, s Spec) error {
	if err := h.check(s.Workspace, s.Agent); err != nil {
		return err
	}
	if s.Grace == 0 {
		s.Grace = DefaultGrace
	}
	if err := h.MakeHome(s.Workspace); err != nil {
		return err
	}
	dir := h.agent(s.Workspace, s.Agent)
	unlock, err := lock(ctx, dir)
	if err != nil {
		return wrap("lock "+dir, err)
	}
	defer unlock()
	spec, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return wrap("write the spec", err)
	}
	same := holds(dir, specFile, spec) && holds(dir, tokenFile, []byte(s.Token))
	pid, err := holder(filepath.Join(dir, aliveFile))
	if err != nil {
		return err
	}
	if pid != 0 && same {
		return nil
	}
	if err := stop(ctx, dir, s.Agent); err != nil {
		return err
	}
	for name, content := range map[string][]byte{specFile: spec, tokenFile: []byte(s.Token)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return wrap("write the spec", err)
		}
	}
	return wrap("start the supervisor of "+s.Agent.String(), launch(h.Binary, dir, s.Agent))
}

// holds reports whether a file has this content.
func holds(dir, name string, content []byte) bool {
	got, err := os.ReadFile(filepath.Join(dir, name))
	return err == nil && bytes.Equal(got, content)
}

// Running reports whether an agent has a supervisor.
func (h Host) Running(workspace, agent uuid.UUID) (bool, error) {
	if err := h.check(workspace, agent); err != nil {
		return false, err
	}
	pid, err := holder(filepath.Join(h.agent(workspace, agent), aliveFile))
	return pid != 0, err
}

// Stop ends an agent and its supervisor and removes what was kept for them, but
// not the home. It is no error if there is none. When the context ends the agent
// is killed.
func (h Host) Stop(ctx context.Context, workspace, agent uuid.UUID) error {
	if err := h.check(workspace, agent); err != nil {
		return err
	}
	dir := h.agent(workspace, agent)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lock(ctx, dir)
	if err != nil {
		return wrap("lock "+dir, err)
	}
	defer unlock()
	if err := stop(ctx, dir, agent); err != nil {
		return err
	}
	return wrap("remove "+dir, os.RemoveAll(dir))
}

// Sweep stops a workspace's agents but those that are to be kept: what is left
// of a job that was killed before it could tell of them.
func (h Host) Sweep(ctx context.Context, workspace uuid.UUID, keep ...uuid.UUID) error {
	if err := h.check(workspace); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(h.workspace(workspace), "agents"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := wrap("list agents", err)
	for _, e := range entries {
		if id, err := uuid.Parse(e.Name()); err == nil && !slices.Contains(keep, id) {
			errs = errors.Join(errs, h.Stop(ctx, workspace, id))
		}
	}
	return errs
}

// Remove ends all that runs for a workspace and removes it with its home.
func (h Host) Remove(ctx context.Context, workspace uuid.UUID) error {
	if err := h.Sweep(ctx, workspace); err != nil {
		return err
	}
	dir := h.workspace(workspace)
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		// Caches like Go's make directories that not even their owner may write.
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(dir)
	}
	return wrap("remove "+dir, err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("process: %s: %w", what, err)
}

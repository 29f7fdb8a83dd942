package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Ledger knows which engines of this host have something of a workspace: a build
// that is killed may have made what is in no state.
type Ledger struct {
	// Dir is the provisioner's data directory.
	Dir string
}

func (l Ledger) file(workspace uuid.UUID) string {
	return filepath.Join(l.Dir, "workspaces", workspace.String(), "engines")
}

// Note writes down, before anything is made there, that an engine is used.
func (l Ledger) Note(workspace uuid.UUID, address string) error {
	known, err := l.known(workspace)
	if err != nil || slices.Contains(known, address) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.file(workspace)), 0o700); err != nil {
		return fmt.Errorf("container: %w", err)
	}
	f, err := os.OpenFile(l.file(workspace), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("container: %w", err)
	}
	_, err = f.WriteString(address + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("container: note engine %s: %w", address, err)
	}
	return nil
}

func (l Ledger) known(workspace uuid.UUID) ([]string, error) {
	raw, err := os.ReadFile(l.file(workspace))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("container: %w", err)
	}
	return strings.Fields(string(raw)), nil
}

// Sweep removes a workspace's containers but those that are to be kept, by their
// ids. Volumes stay: they may hold what people need.
func (l Ledger) Sweep(ctx context.Context, workspace uuid.UUID, keep ...string) error {
	return l.each(ctx, workspace, func(e *Engine) error { return e.sweep(ctx, workspace, keep) })
}

// Remove removes all that a workspace has, volumes too.
func (l Ledger) Remove(ctx context.Context, workspace uuid.UUID) error {
	err := l.each(ctx, workspace, func(e *Engine) error {
		if err := e.sweep(ctx, workspace, nil); err != nil {
			return err
		}
		return e.sweepVolumes(ctx, workspace)
	})
	if err != nil {
		return err
	}
	if err := os.Remove(l.file(workspace)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("container: %w", err)
	}
	return nil
}

func (l Ledger) each(ctx context.Context, workspace uuid.UUID, do func(*Engine) error) error {
	known, err := l.known(workspace)
	if err != nil {
		return err
	}
	for _, address := range known {
		e, err := Open(ctx, address)
		if err != nil {
			return err
		}
		err = do(e)
		e.Close()
		if err != nil {
			return fmt.Errorf("container: clear up at %s: %w", address, err)
		}
	}
	return nil
}

// ofWorkspace asks for what carries a workspace's label.
func ofWorkspace(workspace uuid.UUID) (url.Values, error) {
	filters, err := json.Marshal(map[string][]string{"label": {workspaceLabel + "=" + workspace.String()}})
	return url.Values{"all": {"1"}, "filters": {string(filters)}}, err
}

func (e *Engine) sweep(ctx context.Context, workspace uuid.UUID, keep []string) error {
	query, err := ofWorkspace(workspace)
	if err != nil {
		return err
	}
	var found []struct{ Id string }
	if err := e.call(ctx, http.MethodGet, "/containers/json", query, nil, &found); err != nil {
		return err
	}
	for _, c := range found {
		if slices.Contains(keep, c.Id) {
			continue
		}
		if err := e.remove(ctx, c.Id, 0); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) sweepVolumes(ctx context.Context, workspace uuid.UUID) error {
	query, err := ofWorkspace(workspace)
	if err != nil {
		return err
	}
	var found struct{ Volumes []volume }
	if err := e.call(ctx, http.MethodGet, "/volumes", query, nil, &found); err != nil {
		return err
	}
	for _, v := range found.Volumes {
		if err := e.RemoveVolume(ctx, workspace, v.Name); err != nil {
			return err
		}
	}
	return nil
}

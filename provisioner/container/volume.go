package container

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// VolumeName is what the engine knows a workspace's volume by.
func VolumeName(workspace uuid.UUID, name string) string {
	return "adit-" + workspace.String() + "-" + name
}

// volume is what an engine knows of one.
type volume struct {
	Name   string
	Labels map[string]string
}

// MakeVolume makes a workspace's volume, unless it is there.
func (e *Engine) MakeVolume(ctx context.Context, workspace uuid.UUID, name string) error {
	made := volume{VolumeName(workspace, name), map[string]string{workspaceLabel: workspace.String()}}
	// Docker answers with the one that is there, Podman with an error.
	there, err := e.HasVolume(ctx, made.Name)
	if err == nil && !there {
		err = e.call(ctx, http.MethodPost, "/volumes/create", nil, made, nil)
	}
	if err != nil {
		return fmt.Errorf("container: make volume %s: %w", made.Name, err)
	}
	return nil
}

// HasVolume reports whether there is a volume, by the engine's name.
func (e *Engine) HasVolume(ctx context.Context, name string) (bool, error) {
	err := e.call(ctx, http.MethodGet, "/volumes/"+name, nil, nil, nil)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// RemoveVolume removes a workspace's volume, by the engine's name, with all that is
// in it. It is no error if there is none.
func (e *Engine) RemoveVolume(ctx context.Context, workspace uuid.UUID, name string) error {
	var v volume
	err := e.call(ctx, http.MethodGet, "/volumes/"+name, nil, nil, &v)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil && v.Labels[workspaceLabel] != workspace.String() {
		err = ErrForeign
	}
	if err == nil {
		err = e.call(ctx, http.MethodDelete, "/volumes/"+name, nil, nil, nil)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("container: remove volume %s: %w", name, err)
	}
	return nil
}

package workspaces

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// Create is a new workspace.
type Create struct {
	OwnerID    uuid.UUID
	Name       string
	TemplateID uuid.UUID
	// VersionID is zero for the template's active version.
	VersionID   uuid.UUID
	Parameters  map[string]string
	InitiatorID uuid.UUID
}

// CreateWorkspace makes a workspace and queues its first start, or has one claimed
// that is prepared, which may run already. A *[BadInput]
// says which parameters are wrong or missing; store.ErrConflict is a name that
// is taken.
func (s *Service) CreateWorkspace(ctx context.Context, c Create) (store.Workspace, store.Build, error) {
	versionID := c.VersionID
	if versionID == uuid.Nil {
		var err error
		if versionID, err = s.activeVersion(ctx, c.TemplateID); err != nil {
			return store.Workspace{}, store.Build{}, err
		}
	}
	found, err := s.usableVersion(ctx, c.TemplateID, versionID)
	if err != nil {
		return store.Workspace{}, store.Build{}, err
	}
	params, err := resolve(found.GetParameters(), nil, c.Parameters)
	if err != nil {
		return store.Workspace{}, store.Build{}, err
	}
	w, b, err := s.claim(ctx, c, versionID, found)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return w, b, err
	}
	w, b, err = s.store.CreateBuiltWorkspace(ctx, c.OwnerID, c.TemplateID, c.Name, newBuild(store.Start, versionID, params, c.InitiatorID, "created"))
	if err != nil {
		return store.Workspace{}, store.Build{}, err
	}
	s.act(lookForWork{})
	return w, b, nil
}

// Move is a build that is asked for.
type Move struct {
	WorkspaceID uuid.UUID
	Transition  store.Transition
	// VersionID is zero for the version of the last build. Update takes the
	// template's active version instead.
	VersionID uuid.UUID
	Update    bool
	// Parameters change those of the last build.
	Parameters  map[string]string
	InitiatorID uuid.UUID
	Reason      string
	// At is which versions the workspace may be at; nil is any.
	At store.Versions
}

// Build starts, stops or deletes a workspace: it queues a build. Of several at
// once one wins; the others get an *[Underway] that names it. A *[StateHeld] is
// a lost provisioner in the way. A build that failed is tried again by asking
// for the same once more. store.ErrChanged is that the workspace is not as the
// caller saw it.
func (s *Service) Build(ctx context.Context, m Move) (store.Build, error) {
	w, err := s.store.WorkspaceByID(ctx, m.WorkspaceID)
	if err != nil {
		return store.Build{}, err
	}
	if w.External {
		return store.Build{}, ErrExternal
	}
	last, err := s.store.LastBuild(ctx, w.ID)
	if err != nil {
		return store.Build{}, err
	}
	versionID := m.VersionID
	switch {
	case m.Update:
		if versionID, err = s.activeVersion(ctx, w.TemplateID); err != nil {
			return store.Build{}, err
		}
	case versionID == uuid.Nil:
		versionID = last.VersionID
	}
	found, err := s.usableVersion(ctx, w.TemplateID, versionID)
	if err != nil {
		return store.Build{}, err
	}
	b, err := s.store.CreateBuild(ctx, w.ID, m.At, func(now store.WorkspaceState) (store.NewBuild, error) {
		if err := free(now); err != nil {
			return store.NewBuild{}, err
		}
		params := now.Last.Parameters
		if m.Transition == store.Start || len(m.Parameters) > 0 {
			var err error
			if params, err = resolve(found.GetParameters(), params, m.Parameters); err != nil {
				return store.NewBuild{}, err
			}
		}
		return newBuild(m.Transition, versionID, params, m.InitiatorID, m.Reason), nil
	})
	if err != nil {
		return store.Build{}, err
	}
	s.act(lookForWork{})
	return b, nil
}

func newBuild(t store.Transition, version uuid.UUID, params map[string]string, who uuid.UUID, why string) store.NewBuild {
	secret := make([]byte, agenttoken.SecretSize)
	rand.Read(secret)
	return store.NewBuild{
		Transition: t, VersionID: version, Parameters: params, InitiatorID: who, Reason: why,
		AgentSecret: secret, Phase: phaseOf(t, store.JobQueued),
	}
}

func (s *Service) activeVersion(ctx context.Context, templateID uuid.UUID) (uuid.UUID, error) {
	found, err := s.store.TemplatesByID(ctx, []uuid.UUID{templateID})
	if err != nil {
		return uuid.Nil, err
	}
	t, ok := found[templateID]
	if !ok {
		return uuid.Nil, fmt.Errorf("workspaces: template %s: %w", templateID, store.ErrNotFound)
	}
	if t.ActiveVersionID == uuid.Nil {
		return uuid.Nil, badInput("template %s has no active version: no import has succeeded yet", t.Name)
	}
	return t.ActiveVersionID, nil
}

// usableVersion returns what a version asks for, if it is one of the template's
// and its import succeeded.
func (s *Service) usableVersion(ctx context.Context, templateID, versionID uuid.UUID) (*provisionerv1.Template, error) {
	v, err := s.store.TemplateVersion(ctx, versionID)
	if err != nil {
		return nil, err
	}
	if v.TemplateID != templateID {
		return nil, badInput("version %d is of template %s, from which the workspace is not made", v.Number, v.TemplateName)
	}
	found, err := Found(v)
	if err == nil && found == nil {
		err = badInput("version %d of template %s has not been imported with success", v.Number, v.TemplateName)
	}
	return found, err
}

// Rename gives a workspace another name. A build under way is in its way: that
// knows the workspace by its name. A *[NameTaken] is one that the owner has, and
// store.ErrChanged that the workspace is at none of the versions.
func (s *Service) Rename(ctx context.Context, workspaceID uuid.UUID, name string, at store.Versions) error {
	err := s.store.RenameWorkspace(ctx, workspaceID, name, at, func(now store.WorkspaceState) error {
		if now.External {
			return nil
		}
		return free(now)
	})
	return nameTaken(err, name)
}

// Builds lists a workspace's builds, newest first.
func (s *Service) Builds(ctx context.Context, workspaceID uuid.UUID, q store.BuildQuery) ([]store.Build, error) {
	return s.store.Builds(ctx, workspaceID, q)
}

// BuildByNumber finds a build of a workspace.
func (s *Service) BuildByNumber(ctx context.Context, workspaceID uuid.UUID, number int) (store.Build, error) {
	return s.store.BuildByNumber(ctx, workspaceID, number)
}

// LastBuild finds the newest build; store.ErrNotFound if there is none.
func (s *Service) LastBuild(ctx context.Context, workspaceID uuid.UUID) (store.Build, error) {
	return s.store.LastBuild(ctx, workspaceID)
}

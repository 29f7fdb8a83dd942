package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Share is somebody, or a group, whom a workspace's owner lets in.
type Share struct {
	// Name is the user's or the group's.
	Name  string
	Group bool
	// Level says how far, as coordinator/auth reads it.
	Level     string
	By        string // user name
	CreatedAt time.Time
}

// ShareWith is a share that is made or taken back.
type ShareWith struct {
	WorkspaceID uuid.UUID
	Name        string
	Group       bool
}

// GrantOf returns the highest level at which a workspace is shared with a user,
// by name or by group; "" if it is not. Being its owner is no share.
func (s *Store) GrantOf(ctx context.Context, userID, workspaceID uuid.UUID) (string, error) {
	return one(ctx, "grant of user "+userID.String(), func(ctx context.Context) (string, error) {
		return s.q.GrantOf(ctx, db.GrantOfParams{UserID: userID, WorkspaceID: workspaceID})
	})
}

// SharedWith lists the workspaces that others share with a user, by the names of
// owner and workspace, and at which level.
func (s *Store) SharedWith(ctx context.Context, userID uuid.UUID, p Page) ([]Workspace, map[uuid.UUID]string, error) {
	rows, err := one(ctx, "workspaces shared with user "+userID.String(), func(ctx context.Context) ([]db.SharedWithRow, error) {
		return s.q.SharedWith(ctx, db.SharedWithParams{
			UserID: userID, AfterOwner: strings.ToLower(p.after(0)), AfterName: strings.ToLower(p.after(1)), Name: p.Name, Max: int32(p.Max),
		})
	})
	if err != nil {
		return nil, nil, err
	}
	ids, levels := make([]uuid.UUID, 0, len(rows)), make(map[uuid.UUID]string, len(rows))
	for _, r := range rows {
		ids = append(ids, r.ID)
		levels[r.ID] = r.Level
	}
	list, err := s.WorkspacesByIDs(ctx, ids)
	slices.SortFunc(list, func(a, b Workspace) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	return list, levels, err
}

// Shares lists whom a workspace is shared with: by whether it is a group ("true",
// "false") and name.
func (s *Store) Shares(ctx context.Context, workspaceID uuid.UUID, p Page) ([]Share, error) {
	rows, err := one(ctx, "shares of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.SharesOfWorkspaceRow, error) {
		return s.q.SharesOfWorkspace(ctx, db.SharesOfWorkspaceParams{
			WorkspaceID: workspaceID, AfterGroup: p.after(0) == "true", AfterName: strings.ToLower(p.after(1)), Max: int32(p.Max),
		})
	})
	list := make([]Share, 0, len(rows))
	for _, r := range rows {
		list = append(list, Share{Name: r.Name, Group: r.GroupID.Valid, Level: r.Level, By: r.Sharer, CreatedAt: r.CreatedAt})
	}
	return list, err
}

// Share lets somebody or a group in, or changes how far. ErrNotFound is nobody of
// that name in the workspace's organization, or its owner; ErrChanged is that the
// workspace is at none of the versions.
func (s *Store) Share(ctx context.Context, with ShareWith, level string, by uuid.UUID, at Versions) error {
	return s.touch(ctx, "share workspace", with.WorkspaceID, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		if with.Group {
			return q.ShareWithGroup(ctx, db.ShareWithGroupParams{WorkspaceID: with.WorkspaceID, GroupName: with.Name, Level: level, CreatedBy: by})
		}
		return q.ShareWithUser(ctx, db.ShareWithUserParams{WorkspaceID: with.WorkspaceID, Username: with.Name, Level: level, CreatedBy: by})
	})
}

// Unshare takes a share back; ErrNotFound if there is none, ErrChanged if the
// workspace is at none of the versions.
func (s *Store) Unshare(ctx context.Context, with ShareWith, at Versions) error {
	return s.touch(ctx, "unshare workspace", with.WorkspaceID, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		if with.Group {
			return q.UnshareWithGroup(ctx, db.UnshareWithGroupParams{WorkspaceID: with.WorkspaceID, GroupName: with.Name})
		}
		return q.UnshareWithUser(ctx, db.UnshareWithUserParams{WorkspaceID: with.WorkspaceID, Username: with.Name})
	})
}

// touch changes what belongs to a workspace, and with it the workspace's version;
// ErrChanged unless it is at one of the versions.
func (s *Store) touch(ctx context.Context, what string, id uuid.UUID, at Versions, change func(context.Context, *db.Queries) (int64, error)) error {
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
		w, err := q.LockWorkspace(ctx, id)
		if err != nil {
			return err
		}
		if w.DeletedAt != nil {
			return ErrNotFound
		}
		if err := at.Check(w.Version); err != nil {
			return err
		}
		n, err := change(ctx, q)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return q.TouchWorkspace(ctx, id)
	})
	if err != nil {
		return fmt.Errorf("store: %s %s: %w", what, id, kind(err))
	}
	return nil
}

package store

import (
	"cmp"
	"context"
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

// SharedWith lists the workspaces that others share with a user, by owner and
// name, and at which level.
func (s *Store) SharedWith(ctx context.Context, userID uuid.UUID) ([]Workspace, map[uuid.UUID]string, error) {
	rows, err := one(ctx, "workspaces shared with user "+userID.String(), func(ctx context.Context) ([]db.SharedWithRow, error) {
		return s.q.SharedWith(ctx, userID)
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
	slices.SortFunc(list, func(a, b Workspace) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.OwnerName), strings.ToLower(b.OwnerName)), strings.Compare(a.Name, b.Name))
	})
	return list, levels, err
}

// Shares lists whom a workspace is shared with: people, then groups, by name.
func (s *Store) Shares(ctx context.Context, workspaceID uuid.UUID) ([]Share, error) {
	rows, err := one(ctx, "shares of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.SharesOfWorkspaceRow, error) {
		return s.q.SharesOfWorkspace(ctx, workspaceID)
	})
	list := make([]Share, 0, len(rows))
	for _, r := range rows {
		list = append(list, Share{Name: r.Name, Group: r.GroupID.Valid, Level: r.Level, By: r.Sharer, CreatedAt: r.CreatedAt})
	}
	return list, err
}

// Share lets somebody or a group in, or changes how far. ErrNotFound is nobody of
// that name in the workspace's organization, or its owner.
func (s *Store) Share(ctx context.Context, with ShareWith, level string, by uuid.UUID) error {
	return affected(ctx, "share workspace "+with.WorkspaceID.String(), func(ctx context.Context) (int64, error) {
		if with.Group {
			return s.q.ShareWithGroup(ctx, db.ShareWithGroupParams{WorkspaceID: with.WorkspaceID, GroupName: with.Name, Level: level, CreatedBy: by})
		}
		return s.q.ShareWithUser(ctx, db.ShareWithUserParams{WorkspaceID: with.WorkspaceID, Username: with.Name, Level: level, CreatedBy: by})
	})
}

// Unshare takes a share back; ErrNotFound if there is none.
func (s *Store) Unshare(ctx context.Context, with ShareWith) error {
	return affected(ctx, "unshare workspace "+with.WorkspaceID.String(), func(ctx context.Context) (int64, error) {
		if with.Group {
			return s.q.UnshareWithGroup(ctx, db.UnshareWithGroupParams{WorkspaceID: with.WorkspaceID, GroupName: with.Name})
		}
		return s.q.UnshareWithUser(ctx, db.UnshareWithUserParams{WorkspaceID: with.WorkspaceID, Username: with.Name})
	})
}

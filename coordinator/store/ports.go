package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// maxPortVisibilities bounds the ports of a workspace of which somebody says who may
// open them; of more, none is added.
const maxPortVisibilities = 1000

// PortAt names a port of a workspace, by its agent's name.
type PortAt struct {
	Agent string
	Port  int
}

// PortVisibilities returns who may open ports of a workspace in a browser, where
// somebody has said otherwise than the template.
func (s *Store) PortVisibilities(ctx context.Context, workspaceID uuid.UUID) (map[PortAt]string, error) {
	rows, err := one(ctx, "visibility of ports of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.PortVisibilitiesRow, error) {
		return s.q.PortVisibilities(ctx, workspaceID)
	})
	all := make(map[PortAt]string, len(rows))
	for _, r := range rows {
		all[PortAt{r.Agent, int(r.Port)}] = r.Visibility
	}
	return all, err
}

// SetPortVisibility says who may open a port. ErrNotFound is that too many are said of
// the workspace, ErrChanged that it is at none of the versions.
func (s *Store) SetPortVisibility(ctx context.Context, workspaceID uuid.UUID, port PortAt, visibility string, by uuid.UUID, at Versions) error {
	return s.touch(ctx, "set who may open a port of workspace", workspaceID, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.SetPortVisibility(ctx, db.SetPortVisibilityParams{
			WorkspaceID: workspaceID, Agent: port.Agent, Port: int32(port.Port), Visibility: visibility, CreatedBy: by, Max: maxPortVisibilities,
		})
	})
}

// ResetPortVisibility leaves it to the template again; ErrNotFound if it is.
func (s *Store) ResetPortVisibility(ctx context.Context, workspaceID uuid.UUID, port PortAt, at Versions) error {
	return s.touch(ctx, "reset who may open a port of workspace", workspaceID, at, func(ctx context.Context, q *db.Queries) (int64, error) {
		return q.ResetPortVisibility(ctx, db.ResetPortVisibilityParams{WorkspaceID: workspaceID, Agent: port.Agent, Port: int32(port.Port)})
	})
}

package store

import (
	"context"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// agentLogKept is how many lines of an agent's scripts are kept: at 4 KiB each
// no more than 40 MiB, and at what scripts say some 1 MiB.
const agentLogKept = 10_000

// AddAgentLog keeps lines of an agent's scripts, whose numbers grow; those that
// are kept already stay as they are. The oldest go.
func (s *Store) AddAgentLog(ctx context.Context, agentID uuid.UUID, lines []LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	p := db.InsertAgentLogsParams{AgentID: agentID}
	for _, l := range lines {
		p.Seqs, p.Ats, p.Scripts = append(p.Seqs, l.Seq), append(p.Ats, l.At), append(p.Scripts, l.Stage)
		p.Levels, p.Lines = append(p.Levels, l.Level), append(p.Lines, l.Text)
	}
	oldest := lines[len(lines)-1].Seq - agentLogKept
	return do(ctx, "log of agent "+agentID.String(), func(ctx context.Context) error {
		return s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			if err := q.InsertAgentLogs(ctx, p); err != nil {
				return err
			}
			return q.PruneAgentLogs(ctx, db.PruneAgentLogsParams{AgentID: agentID, Seq: oldest})
		})
	})
}

// AgentLog returns at most limit lines of an agent's scripts after one.
func (s *Store) AgentLog(ctx context.Context, agentID uuid.UUID, after int64, limit int) ([]LogLine, error) {
	rows, err := one(ctx, "log of agent "+agentID.String(), func(ctx context.Context) ([]db.AgentLog, error) {
		return s.q.AgentLogsAfter(ctx, db.AgentLogsAfterParams{AgentID: agentID, Seq: after, Limit: int32(limit)})
	})
	list := make([]LogLine, 0, len(rows))
	for _, r := range rows {
		list = append(list, LogLine{Seq: r.Seq, At: r.At, Stage: r.Script, Level: r.Level, Text: r.Line})
	}
	return list, err
}

// LastAgentLine returns the number of an agent's last line; 0 if it has none.
func (s *Store) LastAgentLine(ctx context.Context, agentID uuid.UUID) (int64, error) {
	return one(ctx, "log of agent "+agentID.String(), func(ctx context.Context) (int64, error) { return s.q.LastAgentLine(ctx, agentID) })
}

// LastBuilds returns the newest build of each workspace that has one.
func (s *Store) LastBuilds(ctx context.Context, workspaceIDs []uuid.UUID) (map[uuid.UUID]Build, error) {
	rows, err := one(ctx, "last builds", func(ctx context.Context) ([]db.LastBuildsRow, error) { return s.q.LastBuilds(ctx, workspaceIDs) })
	builds := make(map[uuid.UUID]Build, len(rows))
	for _, r := range rows {
		builds[r.Build.WorkspaceID] = buildFrom(db.LastBuildRow(r))
	}
	return builds, err
}

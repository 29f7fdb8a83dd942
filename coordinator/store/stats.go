package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Resolution is how long a time one row of statistics is about. Minutes are kept
// for one to two hours, hours for two weeks, days for a year and a little.
type Resolution string

const (
	Minutes Resolution = "minute"
	Hours   Resolution = "hour"
	Days    Resolution = "day"
)

// Stats is what an agent did and used in some time.
type Stats struct {
	AgentID uuid.UUID
	// AgentName is empty if the agent is gone; it and At are not written.
	AgentName string
	At        time.Time
	// Length of what was reported, and how long of that somebody was active.
	Length, Active time.Duration
	// Sessions at once, at most.
	SSH, SFTP, Forwards int
	// Bytes from people to the workspace, and back.
	RxBytes, TxBytes int64
	// CPU in cores, CPUMax at most. Not written: CPUMax, MemoryMax.
	CPU, CPUMax, CPULimit          float64
	Memory, MemoryMax, MemoryLimit int64
	Disk, DiskLimit                int64
	LatencyMs                      float64 // zero if there was nobody
}

const (
	// rollUpKey is the advisory lock of whoever rolls up.
	rollUpKey = 0x61646974_0001

	// rollUpTimeout bounds a roll-up: two hours of 10,000 agents are a million rows.
	rollUpTimeout = time.Minute
)

// RecordStats keeps what any number of agents report, each once, in one
// statement, and notes that the workspaces of those which were active were used.
func (s *Store) RecordStats(ctx context.Context, batch []Stats) error {
	var p db.RecordStatsParams
	for _, r := range batch {
		p.AgentIds, p.Seconds, p.ActiveSeconds = append(p.AgentIds, r.AgentID), append(p.Seconds, r.Length.Seconds()), append(p.ActiveSeconds, r.Active.Seconds())
		p.Sshs, p.Sftps, p.Forwards = append(p.Sshs, int32(r.SSH)), append(p.Sftps, int32(r.SFTP)), append(p.Forwards, int32(r.Forwards))
		p.RxBytes, p.TxBytes = append(p.RxBytes, r.RxBytes), append(p.TxBytes, r.TxBytes)
		p.Cpus, p.CpuLimits = append(p.Cpus, r.CPU), append(p.CpuLimits, r.CPULimit)
		p.Memories, p.MemoryLimits = append(p.Memories, r.Memory), append(p.MemoryLimits, r.MemoryLimit)
		p.Disks, p.DiskLimits = append(p.Disks, r.Disk), append(p.DiskLimits, r.DiskLimit)
		p.Latencies = append(p.Latencies, r.LatencyMs)
	}
	return do(ctx, fmt.Sprintf("record statistics of %d agents", len(batch)), func(ctx context.Context) error {
		return s.q.RecordStats(ctx, p)
	})
}

// WorkspaceStats returns statistics of a workspace's agents since some time, the
// newest first, at most so many.
func (s *Store) WorkspaceStats(ctx context.Context, workspaceID uuid.UUID, r Resolution, since time.Time, most int) ([]Stats, error) {
	rows, err := one(ctx, "statistics of workspace "+workspaceID.String(), func(ctx context.Context) ([]db.StatsOfWorkspaceRow, error) {
		return s.q.StatsOfWorkspace(ctx, db.StatsOfWorkspaceParams{WorkspaceID: workspaceID, Resolution: string(r), Since: since, Most: int32(most)})
	})
	list := make([]Stats, 0, len(rows))
	for _, r := range rows {
		latency := 0.0
		if r.LatencyMs.Valid {
			latency = r.LatencyMs.Float64
		}
		list = append(list, Stats{
			AgentID: r.AgentID, AgentName: r.AgentName, At: r.At, Length: seconds(r.Seconds), Active: seconds(r.ActiveSeconds),
			SSH: int(r.Ssh), SFTP: int(r.Sftp), Forwards: int(r.Forwards), RxBytes: r.RxBytes, TxBytes: r.TxBytes,
			CPU: r.Cpu, CPUMax: r.CpuMax, CPULimit: r.CpuLimit,
			Memory: r.Memory, MemoryMax: r.MemoryMax, MemoryLimit: r.MemoryLimit, Disk: r.Disk, DiskLimit: r.DiskLimit, LatencyMs: latency,
		})
	}
	return list, err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// RollUpStats sums minutes up to hours and hours to days, and forgets what is old,
// also of sessions.
// All of it may be done any number of times. Of several at once one does it, and
// the others have nothing to do.
func (s *Store) RollUpStats(ctx context.Context) error {
	err := s.txWithin(ctx, rollUpTimeout, func(ctx context.Context, q *db.Queries) error {
		mine, err := q.LockStats(ctx, rollUpKey)
		if err != nil || !mine {
			return err
		}
		for _, step := range []func(context.Context) error{q.RollUpHours, q.RollUpDays, q.PruneStats, q.PruneSSHSessions} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: roll up statistics: %w", kind(err))
	}
	return nil
}

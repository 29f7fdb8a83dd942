package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// BuildWork is what a provisioner needs to know for a build.
type BuildWork struct {
	Build                           Build
	Secret                          []byte
	Version                         TemplateVersion
	WorkspaceID, OwnerID            uuid.UUID
	WorkspaceName                   string
	OwnerName, OwnerEmail, Template string
}

// BuildWork returns what a provisioner needs to know for a build.
func (s *Store) BuildWork(ctx context.Context, buildID uuid.UUID) (BuildWork, error) {
	r, err := one(ctx, "work of build "+buildID.String(), func(ctx context.Context) (db.BuildWorkRow, error) {
		return s.q.BuildWork(ctx, buildID)
	})
	if err != nil {
		return BuildWork{}, err
	}
	return BuildWork{
		Build: buildFrom(db.LastBuildRow{Build: r.Build, VersionNumber: r.Number}), Secret: r.Build.AgentSecret,
		Version: TemplateVersion{
			ID: r.Build.TemplateVersionID, Number: int(r.Number), Digest: r.Digest, Variables: mapFrom(r.Variables),
			Found: r.Found, LockFile: r.LockFile, TemplateName: r.TemplateName,
		},
		WorkspaceID: r.WorkspaceID, WorkspaceName: r.WorkspaceName,
		OwnerID: r.OwnerID, OwnerName: r.OwnerName, OwnerEmail: r.OwnerEmail, Template: r.TemplateName,
	}, nil
}

// Job finds a job.
func (s *Store) Job(ctx context.Context, id uuid.UUID) (Job, error) {
	j, err := one(ctx, "job "+id.String(), func(ctx context.Context) (db.Job, error) { return s.q.JobByID(ctx, id) })
	if err != nil {
		return Job{}, err
	}
	return jobFrom(j), nil
}

// WorkspaceOfJob finds the workspace of a build's job; ErrNotFound if it is an
// import's.
func (s *Store) WorkspaceOfJob(ctx context.Context, id uuid.UUID) (uuid.UUID, error) {
	return one(ctx, "workspace of job "+id.String(), func(ctx context.Context) (uuid.UUID, error) {
		return s.q.WorkspaceOfJob(ctx, id)
	})
}

// RunningJobs lists the jobs that are handed out, with the database's clock.
func (s *Store) RunningJobs(ctx context.Context) ([]Job, time.Time, error) {
	now, err := one(ctx, "clock", s.q.Now)
	if err != nil {
		return nil, time.Time{}, err
	}
	rows, err := one(ctx, "running jobs", s.q.RunningJobs)
	list := make([]Job, 0, len(rows))
	for _, j := range rows {
		list = append(list, jobFrom(j))
	}
	return list, now, err
}

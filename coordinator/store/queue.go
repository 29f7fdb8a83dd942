package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// QueuedJob is a job that waits for a provisioner, and whom that works for.
type QueuedJob struct {
	ID, OrganizationID uuid.UUID
	Tags               map[string]string
	CreatedAt          time.Time
}

// Queue lists the jobs that wait, the next one first, and the provisioners that
// were seen within a week, with the database's clock.
func (s *Store) Queue(ctx context.Context) (jobs []QueuedJob, fleet []Provisioner, now time.Time, err error) {
	if now, err = one(ctx, "clock", s.q.Now); err != nil {
		return nil, nil, now, err
	}
	queued, err := one(ctx, "queued jobs", s.q.QueuedJobs)
	if err != nil {
		return nil, nil, now, err
	}
	for _, r := range queued {
		jobs = append(jobs, QueuedJob{ID: r.ID, OrganizationID: r.OrganizationID, Tags: mapFrom(r.Tags), CreatedAt: r.CreatedAt})
	}
	rows, err := one(ctx, "provisioners", s.q.Fleet)
	for _, r := range rows {
		fleet = append(fleet, Provisioner{
			ID: r.ID, KeyID: r.KeyID.UUID, Name: r.Name, Version: r.Version, TerraformVersion: r.TerraformVersion, OrganizationID: r.OrganizationID.UUID,
			Tags: mapFrom(r.Tags), Slots: int(r.Slots), Running: int(r.Running), Draining: r.Draining,
			ConnectedAt: r.ConnectedAt, LastSeenAt: r.LastSeenAt, LeftAt: r.LeftAt,
		})
	}
	return jobs, fleet, now, err
}

// ListedJob is a job with the names of what it is about.
type ListedJob struct {
	Job
	// Kind is "import", or a build's transition.
	Kind                   string
	Organization, Template string
	Version                int
	// Owner, Workspace and Build are a build's; empty for imports.
	Owner, Workspace string
	Build            int
	// Provisioner is the name of who has it, or had it last; empty if nobody did.
	Provisioner string
}

// Jobs lists the jobs of some organizations' templates, the newest first: by time
// and id. An empty status lets all pass.
func (s *Store) Jobs(ctx context.Context, of Scope, status JobStatus, p Page) ([]ListedJob, error) {
	rows, err := one(ctx, "jobs", func(ctx context.Context) ([]db.JobsRow, error) {
		at, id, err := p.afterTime()
		if err != nil {
			return nil, err
		}
		return s.q.Jobs(ctx, db.JobsParams{
			Everywhere: of.Everywhere, Organizations: of.in(), Status: string(status), AfterAt: at, AfterID: id, Max: int32(p.Max),
		})
	})
	list := make([]ListedJob, 0, len(rows))
	for _, r := range rows {
		list = append(list, ListedJob{
			Job: jobFrom(r.Job), Kind: r.Kind, Organization: r.OrganizationName, Template: r.TemplateName, Version: int(r.VersionNumber),
			Owner: r.OwnerName, Workspace: r.WorkspaceName, Build: int(r.BuildNumber), Provisioner: r.Provisioner,
		})
	}
	return list, err
}

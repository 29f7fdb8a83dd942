package store

import (
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// JobStatus says how far a job is. Only [Store.StepJob] and [Store.TakeJob]
// change it, as coordinator/workspaces decides.
type JobStatus string

const (
	JobQueued    JobStatus = "queued"
	JobRunning   JobStatus = "running"
	JobSucceeded JobStatus = "succeeded"
	JobFailed    JobStatus = "failed"
	JobCanceled  JobStatus = "canceled"
)

// Over reports whether the status is a last one.
func (s JobStatus) Over() bool { return s != JobQueued && s != JobRunning }

// Job is one piece of Terraform's work: of a template version or of a build.
type Job struct {
	ID                 uuid.UUID
	VersionID, BuildID uuid.UUID // one of them is zero
	Tags               map[string]string
	Status             JobStatus
	// Attempt counts how often it was handed out, and tells what belongs to
	// which time.
	Attempt       int
	ProvisionerID uuid.UUID // zero before it was handed out first
	// HeartbeatAt is when its provisioner last said that it runs.
	HeartbeatAt *time.Time
	// BeganAt is when a build was allowed to change what exists outside.
	BeganAt                           *time.Time
	CancelRequestedAt, CancelForcedAt *time.Time
	// Error is why it did not succeed, in one line.
	Error string
	// Problems is a list of provisionerv1.Problem in protojson.
	Problems              []byte
	CreatedAt             time.Time
	StartedAt, FinishedAt *time.Time
}

func jobFrom(j db.Job) Job {
	return Job{
		ID: j.ID, VersionID: j.TemplateVersionID.UUID, BuildID: j.BuildID.UUID, Tags: mapFrom(j.Tags),
		Status: JobStatus(j.Status), Attempt: int(j.Attempt), ProvisionerID: j.ProvisionerID.UUID,
		HeartbeatAt: j.HeartbeatAt, BeganAt: j.BeganAt, CancelRequestedAt: j.CancelRequestedAt,
		CancelForcedAt: j.CancelForcedAt, Error: j.Error, Problems: j.Problems,
		CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
	}
}

func writeJob(j Job) db.WriteJobParams {
	return db.WriteJobParams{
		ID: j.ID, Status: string(j.Status), Attempt: int32(j.Attempt), ProvisionerID: nullable(j.ProvisionerID),
		HeartbeatAt: j.HeartbeatAt, BeganAt: j.BeganAt, CancelRequestedAt: j.CancelRequestedAt,
		CancelForcedAt: j.CancelForcedAt, Error: j.Error, Problems: j.Problems,
		StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
	}
}

// JobState is a job with what moves with it.
type JobState struct {
	Job Job
	// Build is the transition and workspace of a build's job; nil for imports.
	Build *BuildState
	// Now is the database's clock, which all times of jobs are of.
	Now time.Time
}

// BuildState is the part of a build that its job moves.
type BuildState struct {
	ID, WorkspaceID uuid.UUID
	Transition      Transition
	FinishedAt      *time.Time
	Phase           Phase
	// HeldBy is the job whose provisioner may have a newer state; zero if none.
	HeldBy uuid.UUID
	// Secret is what tokens of agents are derived from.
	Secret []byte
	// DailyCost is what the workspace's resources cost.
	DailyCost int
	// Spent is what the owner's other workspaces cost, and TemplateCost what this one
	// does beside its resources. Only a plan has them: see [Store.PlanJob].
	Spent        *Usage
	TemplateCost int
}

// Writes is what a step writes besides the state.
type Writes struct {
	// Agents are registered for the build.
	Agents []NewAgent
	// DropAgents removes the agents of other builds; LockOut makes all agents'
	// tokens worthless.
	DropAgents, LockOut bool
	// Instances are those that the build's agents run on, by the agents' ids.
	Instances map[uuid.UUID]string
	// Resources of the build, JSON; nil leaves what is there.
	Resources []byte
	// Found and LockFile are what an import found; nil Found writes neither.
	Found, LockFile []byte
}

// NewAgent is an agent that a build makes.
type NewAgent struct {
	ID        uuid.UUID
	Name      string
	TokenHash []byte
	Manifest  []byte // a provisionerv1.Agent in protojson
	// Auth is how it comes by its token, Instance what it runs on as far as that
	// is known, and ConnectionTimeout how long it may take to connect; zero is for
	// ever.
	Auth, Instance    string
	ConnectionTimeout time.Duration
}

// ProvisionerLoad is who asks for a job.
type ProvisionerLoad struct {
	KeyID uuid.UUID // zero for those built in
	ID    uuid.UUID
	Tags  map[string]string
	Slots int
}

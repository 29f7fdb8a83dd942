package workspaces

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// chunk is how much of a file one message carries.
const chunk = 32 << 10

// own returns the job that a call is about, if it was handed to a provisioner
// with the caller's key. Any other does not exist.
func (s *Service) own(ctx context.Context, ref *provisionerv1.JobRef) (store.Job, store.JobAttempt, error) {
	id, err := identity(ctx)
	if err != nil {
		return store.Job{}, store.JobAttempt{}, err
	}
	at, err := attemptFrom(ref)
	if err != nil {
		return store.Job{}, at, err
	}
	j, err := s.store.Job(ctx, at.ID)
	if err != nil {
		return store.Job{}, at, err
	}
	if j.ProvisionerID == uuid.Nil {
		return store.Job{}, at, errStale
	}
	key, err := s.store.KeyOfProvisioner(ctx, j.ProvisionerID)
	if err == nil && key != id.KeyID {
		err = store.ErrNotFound
	}
	return j, at, err
}

// running is own for an attempt that is under way.
func (s *Service) running(ctx context.Context, ref *provisionerv1.JobRef) (store.Job, error) {
	j, at, err := s.own(ctx, ref)
	if err == nil && (j.Status != store.JobRunning || j.Attempt != at.Attempt) {
		err = errStale
	}
	return j, err
}

// answer turns an error into what a provisioner gets to know of it. Unavailable
// is to be tried again, anything else is final.
func (s *Service) answer(ctx context.Context, err error) error {
	var bad *BadInput
	var over *store.OverQuota
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		return status.Error(codes.InvalidArgument, bad.Reason)
	case errors.As(err, &over):
		return status.Error(codes.InvalidArgument, over.Error())
	case errors.Is(err, errCanceled):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, errStale):
		return status.Error(codes.FailedPrecondition, errStale.Error())
	case errors.Is(err, errNotProvisioner):
		return status.Error(codes.PermissionDenied, err.Error())
	case errors.Is(err, store.ErrNotFound):
		return status.Error(codes.NotFound, "no such job")
	default:
		s.log.WarnContext(ctx, "a provisioner's call failed", "err", err)
		return status.Error(codes.Unavailable, "the coordinator cannot do that right now; try again")
	}
}

// sendChunks sends a file. An empty one is no message at all.
func sendChunks(stream interface {
	Send(*provisionerv1.Chunk) error
}, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), chunk)
		if err := stream.Send(&provisionerv1.Chunk{Data: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// Archive sends the files of a job's template.
func (s *Service) Archive(ref *provisionerv1.JobRef, stream provisionerv1.Provisioner_ArchiveServer) error {
	ctx := stream.Context()
	j, err := s.running(ctx, ref)
	if err != nil {
		return s.answer(ctx, err)
	}
	version := j.VersionID
	if j.BuildID != uuid.Nil {
		w, err := s.store.BuildWork(ctx, j.BuildID)
		if err != nil {
			return s.answer(ctx, err)
		}
		version = w.Version.ID
	}
	data, err := s.store.VersionArchive(ctx, version)
	if err != nil {
		return s.answer(ctx, err)
	}
	return sendChunks(stream, data)
}

// LoadState sends the state that a build starts from.
func (s *Service) LoadState(ref *provisionerv1.JobRef, stream provisionerv1.Provisioner_LoadStateServer) error {
	ctx := stream.Context()
	j, err := s.running(ctx, ref)
	if err != nil {
		return s.answer(ctx, err)
	}
	ws, err := s.store.WorkspaceOfJob(ctx, j.ID)
	if err != nil {
		return s.answer(ctx, err)
	}
	data, err := s.State(ctx, ws)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return s.answer(ctx, err)
	}
	return sendChunks(stream, data)
}

// SaveState keeps a state.
func (s *Service) SaveState(stream provisionerv1.Provisioner_SaveStateServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	head := first.GetHead()
	// Whatever became of the attempt: a state is never thrown away.
	j, _, err := s.own(ctx, head.GetJob())
	if err != nil {
		return s.answer(ctx, err)
	}
	ws, err := s.store.WorkspaceOfJob(ctx, j.ID)
	if err != nil {
		return s.answer(ctx, err)
	}
	var data bytes.Buffer
	for m := first; ; {
		data.Write(m.GetData())
		if data.Len() > MaxState {
			return s.answer(ctx, badInput("the state is larger than %d MiB", MaxState>>20))
		}
		if m, err = stream.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	if data.Len() == 0 || head.GetSerial() > 1<<62 || len(head.GetLineage()) > 128 || noNUL(head.GetLineage()) != head.GetLineage() {
		return s.answer(ctx, badInput("a state without data, or with a lineage or serial that is none"))
	}
	current, err := s.saveState(ctx, j, ws, head.GetLineage(), head.GetSerial(), data.Bytes())
	if err != nil {
		return s.answer(ctx, err)
	}
	return stream.SendAndClose(&provisionerv1.Saved{Current: current})
}

// Planned registers the agents of a build that is about to change things, and
// answers once it may.
func (s *Service) Planned(ctx context.Context, r *provisionerv1.PlanReport) (*provisionerv1.Acknowledged, error) {
	_, at, err := s.own(ctx, r.GetJob())
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	resources, err := jsonList(r.GetResources())
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	err = s.step(ctx, at.ID, planned{attempt: at.Attempt, resources: resources, cost: int(r.GetDailyCost()), agents: func(b store.BuildState) ([]store.NewAgent, error) {
		return newAgents(b, r.GetAgents())
	}})
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	return &provisionerv1.Acknowledged{}, nil
}

// AddLog adds lines to a job's log.
func (s *Service) AddLog(ctx context.Context, l *provisionerv1.Log) (*provisionerv1.Acknowledged, error) {
	_, at, err := s.own(ctx, l.GetJob())
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	lines, err := linesFrom(l)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	if err := s.store.AppendLog(ctx, at, int64(l.GetFirst()), lines, fitLog); err != nil {
		return nil, s.answer(ctx, err)
	}
	s.changes.notify(at.ID)
	return &provisionerv1.Acknowledged{}, nil
}

// Finish ends an attempt.
func (s *Service) Finish(ctx context.Context, r *provisionerv1.Result) (*provisionerv1.Acknowledged, error) {
	j, at, err := s.own(ctx, r.GetJob())
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	e, err := finishedFrom(at, j, r)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	if err := s.step(ctx, at.ID, e); err != nil {
		return nil, s.answer(ctx, err)
	}
	s.log.InfoContext(ctx, "job finished", "job", at.ID, "attempt", at.Attempt, "status", e.status, "err", e.err)
	s.act(lookForWork{}) // it has a slot again
	return &provisionerv1.Acknowledged{}, nil
}

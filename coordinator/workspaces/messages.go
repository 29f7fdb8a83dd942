package workspaces

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// maxReason bounds what is kept of why a job failed: one line.
const maxReason = 2 << 10

// jobMessage is a job as its provisioner gets it.
func (s *Service) jobMessage(ctx context.Context, j store.Job) (*provisionerv1.Job, error) {
	m := &provisionerv1.Job{
		Ref: refOf(store.JobAttempt{ID: j.ID, Attempt: j.Attempt}), TimeoutSeconds: uint32(s.cfg.Timeout / time.Second),
	}
	if j.BuildID == uuid.Nil {
		v, err := s.store.TemplateVersion(ctx, j.VersionID)
		if err != nil {
			return nil, err
		}
		m.ArchiveDigest, m.Variables, m.LockFile = v.Digest, v.Variables, v.LockFile
		m.Work = &provisionerv1.Job_Import{Import: &provisionerv1.Import{TemplateName: v.TemplateName, Tests: v.Tests}}
		return m, nil
	}
	w, err := s.store.BuildWork(ctx, j.BuildID)
	if err != nil {
		return nil, err
	}
	found, err := Found(w.Version)
	if err != nil {
		return nil, err
	}
	m.ArchiveDigest, m.Variables, m.LockFile = w.Version.Digest, w.Version.Variables, w.Version.LockFile
	for _, v := range found.GetVariables() {
		if value := w.Version.Variables[v.GetName()]; v.GetSensitive() && value != "" {
			m.Secrets = append(m.Secrets, value)
		}
	}
	b := &provisionerv1.Build{
		BuildId: w.Build.ID.String(), Number: uint32(w.Build.Number), Transition: transitions[w.Build.Transition],
		WorkspaceId: w.WorkspaceID.String(), WorkspaceName: w.WorkspaceName,
		OwnerId: w.OwnerID.String(), OwnerName: w.OwnerName, OwnerEmail: w.OwnerEmail,
		TemplateName: w.Template, Parameters: w.Build.Parameters, AgentSecret: w.Secret,
	}
	if w.OwnerID == store.Nobody { // names of what templates make have it in them
		b.OwnerName = reasonPrepared
	}
	if s.cfg.AccessURL != nil {
		b.AccessUrl = s.cfg.AccessURL.String()
	}
	m.Work = &provisionerv1.Job_Build{Build: b}
	return m, nil
}

var transitions = map[store.Transition]provisionerv1.Transition{
	store.Start: provisionerv1.Transition_START, store.Stop: provisionerv1.Transition_STOP, store.Delete: provisionerv1.Transition_DELETE,
}

// finishedFrom reads what a provisioner says of the end of a job.
func finishedFrom(at store.JobAttempt, j store.Job, r *provisionerv1.Result) (finished, error) {
	e := finished{attempt: at.Attempt, err: noNUL(foreign.Clip(r.GetError(), maxReason)), agents: r.GetAgents(), cost: int(r.GetDailyCost())}
	switch r.GetStatus() {
	case provisionerv1.Result_SUCCEEDED:
		e.status = store.JobSucceeded
	case provisionerv1.Result_CANCELED:
		e.status = store.JobCanceled
	default:
		e.status = store.JobFailed
	}
	var err error
	if e.problems, err = jsonList(r.GetProblems()); err != nil {
		return e, err
	}
	if e.problems == nil {
		e.problems = []byte("[]")
	}
	if e.resources, err = jsonList(r.GetResources()); err != nil {
		return e, err
	}
	if j.VersionID == uuid.Nil || e.status != store.JobSucceeded {
		return e, nil
	}
	t := r.GetTemplate()
	if t == nil {
		return e, badInput("an import that succeeded has found something")
	}
	e.lockFile = t.GetLockFile()
	kept, _ := proto.Clone(t).(*provisionerv1.Template)
	kept.LockFile = nil
	if e.found, err = protojson.Marshal(kept); err != nil {
		return e, badInput("what the import found: %v", err)
	}
	e.found = noJSONNUL(e.found)
	return e, nil
}

// noJSONNUL takes out what Postgres cannot keep in JSON.
func noJSONNUL(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`\u0000`), []byte(`\ufffd`)) }

// jsonList writes messages as a JSON list of protojson; nil for none.
func jsonList[M proto.Message](list []M) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	raw := make([]json.RawMessage, 0, len(list))
	for _, m := range list {
		b, err := protojson.Marshal(m)
		if err != nil {
			return nil, badInput("%T: %v", m, err)
		}
		raw = append(raw, noJSONNUL(b))
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("workspaces: list of %T: %w", list, err)
	}
	return b, nil
}

// listFrom reads what jsonList wrote.
func listFrom[M any, P interface {
	*M
	proto.Message
}](b []byte) ([]*M, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("workspaces: list of %T: %w", *new(M), err)
	}
	list := make([]*M, 0, len(raw))
	for _, r := range raw {
		m := new(M)
		if err := lenient.Unmarshal(r, P(m)); err != nil {
			return nil, fmt.Errorf("workspaces: %T: %w", m, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// Resources returns what a build makes, or has made; nil until it is known.
func Resources(b store.Build) ([]*provisionerv1.Resource, error) {
	return listFrom[provisionerv1.Resource](b.Resources)
}

// Problems returns what a job's Terraform had to say about files.
func Problems(j store.Job) ([]*provisionerv1.Problem, error) {
	return listFrom[provisionerv1.Problem](j.Problems)
}

package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	tfjson "github.com/hashicorp/terraform-json"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/terraform"
)

const (
	// defaultTimeout is how long a job may take that says nothing about it.
	defaultTimeout = time.Hour

	// maxResources is how many resources a plan may have: each is reported, and
	// a workspace with more of them is a mistake.
	maxResources = 20_000
)

var (
	errCanceled = errors.New("canceled; Terraform was interrupted")
	errTimeout  = errors.New("the job took longer than it may; Terraform was interrupted")
)

// job is one attempt at a job.
//
//	fetch → init → plan → (begun) → Planned → apply → deliver → removed
//
// An end before begun leaves nothing; from then on only deliver removes it.
type job struct {
	p    *provisioner
	work *provisionerv1.Job
	ref  *provisionerv1.JobRef
	dir  *jobDir // nil if it could not be made
	logs *logs
	log  *slog.Logger

	ctx    context.Context // of its Terraform
	end    context.CancelCauseFunc
	worked chan struct{} // closed when no Terraform runs any more
	once   sync.Once     // guards worked
}

func newJob(p *provisioner, work *provisionerv1.Job) *job {
	// Whoever knows what agents' tokens are derived from can be any of them.
	secrets := append([]string{string(work.GetBuild().GetAgentSecret())}, work.GetSecrets()...)
	j := &job{
		p: p, work: work, ref: work.GetRef(), worked: make(chan struct{}),
		logs: newLogs(newRedactor(secrets, p.cfg.Terraform.Environ)),
		log:  p.log.With("job", work.GetRef().GetId(), "attempt", work.GetRef().GetAttempt()),
	}
	j.ctx, j.end = context.WithCancelCause(context.Background())
	return j
}

// mark is what the job's processes are known by on their host, on which there may
// be other provisioners, with other coordinators' jobs.
func (j *job) mark() string {
	return fmt.Sprintf("%s.%d", filepath.Join(j.p.cfg.Dir, "jobs", j.ref.GetId()), j.ref.GetAttempt())
}

// interrupt asks Terraform to end. The first reason stays.
func (j *job) interrupt(reason error) { j.end(reason) }

// cancel ends the job as the coordinator wants it.
func (j *job) cancel(force bool) {
	j.interrupt(errCanceled)
	if force {
		terraform.KillKin(j.mark())
	}
}

// run does the work and delivers what came of it. When ctx is done, what is not
// delivered stays on the disk.
func (j *job) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { j.interrupt(errStopping) })()
	timeout := time.Duration(j.work.GetTimeoutSeconds()) * time.Second
	if timeout == 0 {
		timeout = defaultTimeout
	}
	timer := time.AfterFunc(timeout, func() { j.interrupt(fmt.Errorf("%w (%v)", errTimeout, timeout)) })
	defer timer.Stop()
	j.log.Info("job started")
	result := j.result(j.do())
	// Whatever a template left running ends with its job.
	j.endLeft()
	j.deliver(ctx, result)
}

// endLeft ends what is left of the job's processes.
func (j *job) endLeft() {
	if n := terraform.KillKin(j.mark()); n > 0 {
		j.log.Info("ended what the job left running", "processes", n)
	}
}

// finishLeft ends the Terraform of a process that was killed, which has gone on
// since, as gently as one's own: what it is at is written down.
func (j *job) finishLeft() {
	if terraform.Interrupt(j.mark()) {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for end := time.Now().Add(j.p.tf.Grace()); terraform.Applying(j.mark()) && time.Now().Before(end); {
			<-tick.C
		}
	}
	j.endLeft()
}

// result is the result with how it ended.
func (j *job) result(r *provisionerv1.Result, err error) *provisionerv1.Result {
	r.Job = j.ref
	switch {
	case err == nil:
		r.Status = provisionerv1.Result_SUCCEEDED
	case errors.Is(context.Cause(j.ctx), errCanceled):
		r.Status = provisionerv1.Result_CANCELED
	default:
		r.Status = provisionerv1.Result_FAILED
	}
	if err != nil {
		if cause := context.Cause(j.ctx); cause != nil && !errors.Is(err, cause) {
			err = cause
		}
		r.Error = oneLine(j.logs.redact(err.Error()))
		j.logs.say(provisionerv1.Line_ERROR, r.GetError())
	}
	for _, p := range r.GetProblems() {
		p.Summary, p.Detail = bounded(j.logs.redact(p.GetSummary())), bounded(j.logs.redact(p.GetDetail()))
	}
	return r
}

// failed is the result of a job that came to nothing.
func failed(ref *provisionerv1.JobRef, err error) *provisionerv1.Result {
	return &provisionerv1.Result{Job: ref, Status: provisionerv1.Result_FAILED, Error: oneLine(err.Error())}
}

// do runs Terraform.
func (j *job) do() (*provisionerv1.Result, error) {
	result := new(provisionerv1.Result)
	digest, err := j.fetch()
	if err != nil {
		return result, err
	}
	env, err := j.env()
	if err != nil {
		return result, err
	}
	tf, err := j.p.tf.Open(terraform.RunConfig{Digest: digest, Dir: j.dir.files(), Mark: j.mark(), Env: env, Log: j.logs.add})
	if err != nil {
		return result, err
	}
	defer tf.Close()
	stopWatch := j.watch()
	defer stopWatch()
	if j.work.GetBuild() != nil {
		err = j.build(tf, result)
	} else {
		result.Template, err = j.check(tf)
	}
	result.Problems = tf.Problems()
	return result, err
}

// env is what the provider adit/adit knows the job by.
func (j *job) env() (map[string]string, error) {
	build := j.work.GetBuild()
	if build == nil {
		return map[string]string{"ADIT_IMPORT": "1", "ADIT_DATA_DIR": j.p.cfg.Dir}, nil
	}
	if build.GetAccessUrl() == "" {
		// The coordinator goes by whatever people came by. Its agents come by
		// where this provisioner did.
		build = proto.CloneOf(build)
		build.AccessUrl = j.p.cfg.URL.String()
	}
	raw, err := protojson.Marshal(build)
	if err != nil {
		return nil, fmt.Errorf("provisioner: encode build: %w", err)
	}
	return map[string]string{"ADIT_BUILD": string(raw), "ADIT_DATA_DIR": j.p.cfg.Dir}, nil
}

// check finds out what a template asks for.
func (j *job) check(tf *terraform.Run) (*provisionerv1.Template, error) {
	if err := tf.Init(j.ctx, j.work.GetLockFile(), j.work.GetVariables()); err != nil {
		return nil, err
	}
	plan, err := tf.Plan(j.ctx, false)
	if err != nil {
		return nil, err
	}
	template, err := tf.Template(plan)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tooMany(template.GetResources()), tf.Unique(plan)); err != nil || !j.work.GetImport().GetTests() {
		return template, err
	}
	return template, tf.Test(j.ctx)
}

// build moves a workspace.
func (j *job) build(tf *terraform.Run, result *provisionerv1.Result) error {
	transition := j.work.GetBuild().GetTransition()
	destroy := transition == provisionerv1.Transition_DELETE
	if err := tf.Init(j.ctx, j.work.GetLockFile(), j.work.GetVariables()); err != nil {
		return err
	}
	plan, err := tf.Plan(j.ctx, destroy)
	if err != nil {
		return err
	}
	resources, agents := terraform.Planned(plan)
	if err := errors.Join(tooMany(resources), tf.Unique(plan)); err != nil {
		return err
	}
	if err := j.dir.begin(); err != nil {
		return err
	}
	report := &provisionerv1.PlanReport{Job: j.ref, Resources: resources, Agents: agents, DailyCost: terraform.DailyCost(plan.After)}
	err = j.p.link.call(j.ctx, "report the plan", func(ctx context.Context, c provisionerv1.ProvisionerClient) error {
		_, err := c.Planned(ctx, report)
		return err
	})
	if status.Code(err) == codes.InvalidArgument { // the coordinator says what is wrong with it
		return errors.New(refusal(err))
	}
	if err != nil {
		return err
	}
	stage := "apply"
	if destroy {
		stage = "destroy"
	}
	if err := tf.Apply(j.ctx, stage); err != nil {
		return err
	}
	state, err := j.show(tf, plan, result)
	if err != nil {
		return err
	}
	return j.sweep(j.ctx, state, destroy)
}

// show adds what there is now, and returns the state; nil if there is none.
func (j *job) show(tf *terraform.Run, plan *terraform.Plan, result *provisionerv1.Result) (*tfjson.StateModule, error) {
	if !j.dir.hasState() {
		return nil, nil // nothing was there, and nothing is
	}
	state, err := tf.Show()
	if err != nil {
		return nil, err
	}
	result.Resources, result.Agents = terraform.Present(state, plan)
	result.DailyCost = terraform.DailyCost(state)
	return state, nil
}

// refusal is what the coordinator says of a call that it refuses.
func refusal(err error) string {
	var said interface{ GRPCStatus() *status.Status }
	if errors.As(err, &said) {
		return said.GRPCStatus().Message()
	}
	return err.Error()
}

func tooMany(resources []*provisionerv1.Resource) error {
	if len(resources) > maxResources {
		return fmt.Errorf("the template makes %d resources; a workspace may have %d", len(resources), maxResources)
	}
	return nil
}

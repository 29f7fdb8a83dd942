package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/terraform"
)

const (
	// DefaultMaxDisk is how much a job may leave in its directory. Providers
	// are shared and do not count.
	DefaultMaxDisk = 2 << 30

	// stopTimeout is how long a provisioner that is told to stop tries to
	// deliver what its interrupted jobs left. The rest is for the next start.
	stopTimeout = 5 * time.Second
)

// Config configures a provisioner.
type Config struct {
	// URL of the coordinator.
	URL *url.URL
	// Token of the provisioner.
	Token string
	// HTTPClient makes the upgrade request; nil means http.DefaultClient.
	HTTPClient *http.Client
	// Name for people; empty means the host's.
	Name string
	// Tags say which jobs it takes.
	Tags map[string]string
	// Slots is how many jobs run at once; zero means 1.
	Slots int
	// Dir is where jobs, plugins and undelivered states are kept.
	Dir string
	// Terraform configures Terraform; its Dir is set.
	Terraform terraform.Config
	// MaxDisk bounds a job's directory in bytes; zero means DefaultMaxDisk.
	MaxDisk int64
	// Leave, when it is closed, has it take no more jobs and end when those that it
	// has are over. Nil is never.
	Leave <-chan struct{}
	// Version of the program, which the coordinator's must be near.
	Version string
	Logger  *slog.Logger
}

// provisioner is what Run runs.
type provisioner struct {
	cfg     Config
	log     *slog.Logger
	tf      *terraform.Installation
	version string // those of Terraform; empty if there is none
	link    *link
	// instance tells this process from another of the same name.
	instance string
	hurried  chan struct{}              // holds a wish to send logs now
	refused  chan *provisionerv1.JobRef // jobs to give back

	jobs sync.WaitGroup

	mu      sync.Mutex // guards the following
	running map[string]*job
	leaving bool // it takes no more jobs
}

// maxRefused is how many jobs may come while the coordinator does not know yet that
// none are wanted. Those beyond wait for their lease.
const maxRefused = 16

// Run runs a provisioner until ctx is done, or the coordinator refuses its token.
// Then its jobs are interrupted, and what cannot be delivered within seconds is
// left on the disk for the next start. When it is told to leave, they are not
// interrupted, and it ends after the last.
func Run(ctx context.Context, cfg Config) error {
	p, unlock, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer unlock()
	// Jobs are told to stop one by one; deliveries go on for a while after.
	living, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	if err := p.takeUp(living); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.keepSession(living) }()
	select {
	case <-ctx.Done():
	case <-cfg.Leave:
		err = p.drain(ctx, ended)
	case err = <-ended:
		ended <- err
	}
	p.stop()
	p.awaitJobs()
	kill()
	p.jobs.Wait()
	<-ended
	return err
}

func open(ctx context.Context, cfg Config) (*provisioner, func(), error) {
	if cfg.Slots <= 0 {
		cfg.Slots = 1
	}
	if cfg.MaxDisk == 0 {
		cfg.MaxDisk = DefaultMaxDisk
	}
	if cfg.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, nil, fmt.Errorf("provisioner: name of the host: %w", err)
		}
		cfg.Name = name
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("provisioner: directory %s: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, "jobs"), 0o700); err != nil {
		return nil, nil, fmt.Errorf("provisioner: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	cfg.Terraform.Dir = filepath.Join(dir, "terraform")
	tf, err := terraform.Install(cfg.Terraform)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	p := &provisioner{cfg: cfg, log: cfg.Logger, tf: tf, instance: uuid.NewString(), link: newLink(), hurried: make(chan struct{}, 1), refused: make(chan *provisionerv1.JobRef, maxRefused), running: make(map[string]*job)}
	if p.version, err = tf.Versions(ctx); err != nil {
		p.log.Warn("some or all jobs will fail for want of a Terraform", "err", err)
	}
	return p, unlock, nil
}

// takeUp delivers what earlier processes left.
func (p *provisioner) takeUp(ctx context.Context) error {
	left, err := leftovers(p.cfg.Dir)
	if err != nil {
		return err
	}
	for _, d := range left {
		j := newJob(p, &provisionerv1.Job{Ref: d.ref})
		j.dir = d
		if !d.hasBegun() {
			// It changed nothing, and nobody counts on it: the coordinator hands
			// it out again.
			j.endLeft()
			d.remove()
			continue
		}
		p.start(j, func() {
			j.finishLeft()
			j.log.Info("delivering what an earlier process left")
			j.deliver(ctx, d.leftResult())
		})
	}
	return nil
}

// take starts a job that the coordinator hands out.
func (p *provisioner) take(ctx context.Context, work *provisionerv1.Job) {
	j := newJob(p, work)
	started := p.start(j, func() {
		dir, err := makeDir(p.cfg.Dir, work.GetRef())
		if err != nil {
			j.deliver(ctx, failed(work.GetRef(), err))
			return
		}
		j.dir = dir
		j.run(ctx)
	})
	if started {
		return
	}
	// It is missing from the heartbeats, or there under another attempt: the
	// coordinator hands it out again when its lease is over, or when it is given back.
	j.log.Warn("job not taken: stopping, or another attempt at it is not over")
	if p.isLeaving() {
		select {
		case p.refused <- work.GetRef():
		default:
		}
	}
}

// start runs f for a job, which counts as running until f returns. It reports
// whether it does: not when the provisioner is stopping, or has the job already.
func (p *provisioner) start(j *job, f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving || p.running[j.ref.GetId()] != nil {
		return false
	}
	p.running[j.ref.GetId()] = j
	p.jobs.Go(func() {
		f()
		p.mu.Lock()
		delete(p.running, j.ref.GetId())
		p.mu.Unlock()
	})
	return true
}

// all returns the jobs that run or have something to deliver.
func (p *provisioner) all() []*job {
	p.mu.Lock()
	defer p.mu.Unlock()
	jobs := make([]*job, 0, len(p.running))
	for _, j := range p.running {
		jobs = append(jobs, j)
	}
	return jobs
}

// find returns the job of an attempt, or nil.
func (p *provisioner) find(ref *provisionerv1.JobRef) *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j := p.running[ref.GetId()]; j != nil && j.ref.GetAttempt() == ref.GetAttempt() {
		return j
	}
	return nil
}

// hurry has the session send all logs now, and not after logPause.
func (p *provisioner) hurry() {
	select {
	case p.hurried <- struct{}{}:
	default: // it is about to
	}
}

func (p *provisioner) refs() []*provisionerv1.JobRef {
	var refs []*provisionerv1.JobRef
	for _, j := range p.all() {
		refs = append(refs, j.ref)
	}
	return refs
}

var errStopping = errors.New("the provisioner was stopped; Terraform was interrupted")

// leave has it take no more jobs, and says so.
func (p *provisioner) leave() {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	p.link.bye()
}

func (p *provisioner) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// drain takes no more jobs, and waits until Terraform has ended for all those that
// there are, ctx is done, or the session has ended for good.
func (p *provisioner) drain(ctx context.Context, ended chan error) error {
	p.leave()
	p.log.Info("taking no more jobs, and ending when those that run are over", "jobs", len(p.all()))
	for _, j := range p.all() {
		select {
		case <-j.worked:
		case <-ctx.Done():
			p.log.Info("interrupting the jobs that run")
			return nil
		case err := <-ended:
			ended <- err
			return err
		}
	}
	return nil
}

func (p *provisioner) stop() {
	p.leave()
	for _, j := range p.all() {
		j.interrupt(errStopping)
	}
}

// awaitJobs waits until no Terraform runs and all is delivered, or for
// stopTimeout after the last Terraform ended.
func (p *provisioner) awaitJobs() {
	for _, j := range p.all() {
		<-j.worked
	}
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		p.jobs.Wait()
	}()
	select {
	case <-delivered:
	case <-time.After(stopTimeout):
	}
}

package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
	tfjson "github.com/hashicorp/terraform-json"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// MarkVar marks every process of a job in its environment: what is left of
	// a job is found by it.
	MarkVar = "ADIT_JOB"

	lockFile = ".terraform.lock.hcl"
	planFile = "adit.tfplan"

	// Files of ours beside a template's. Override files win over what they
	// override, and of files with values the last in the alphabet does.
	overrideFile = "zz_adit_override.tf"
	valuesFile   = "zz_adit.auto.tfvars.json"

	// stateFile, seen from the template's directory: wherever a template wants
	// its state, it goes beside.
	stateFile = "../terraform.tfstate"
	override  = "terraform {\n  backend \"local\" {\n    path = \"" + stateFile + "\"\n  }\n}\n"
)

// RunConfig configures a Run.
type RunConfig struct {
	// Dir has the template's files. Its parent belongs to the job too: the state
	// and Terraform's own data go there.
	Dir string
	// Mark is the value of MarkVar.
	Mark string
	// Env is added to the environment.
	Env map[string]string
	// Log takes each line that Terraform says, and reports whether it wants more
	// than errors from now on. It is called by one goroutine at a time and must
	// not block.
	Log func(*provisionerv1.Line) (more bool)
}

// Run is Terraform for one job.
type Run struct {
	in       *Installation
	cfg      RunConfig
	tf       *tfexec.Terraform
	problems []*provisionerv1.Problem
}

// Open prepares a job's Terraform.
func (in *Installation) Open(cfg RunConfig) (*Run, error) {
	path, err := in.find()
	if err != nil {
		return nil, err
	}
	tf, err := tfexec.NewTerraform(cfg.Dir, path)
	if err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	env := maps.Clone(in.env)
	maps.Copy(env, cfg.Env)
	parent := filepath.Dir(cfg.Dir)
	env[MarkVar] = cfg.Mark
	env["TF_DATA_DIR"] = filepath.Join(parent, "terraform")
	env["TMPDIR"] = filepath.Join(parent, "tmp")
	if err := os.MkdirAll(env["TMPDIR"], 0o700); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	if err := tf.SetEnv(env); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	// Killing is ours: all that the job started goes at once. This one is for
	// hosts on which that cannot be found.
	if err := tf.SetWaitDelay(in.cfg.Grace + time.Second); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	return &Run{in: in, cfg: cfg, tf: tf}, nil
}

// Problems returns what Terraform had to say about files so far.
func (r *Run) Problems() []*provisionerv1.Problem { return r.problems }

// Init prepares the directory. With locked, the lock file is what an import left
// and has all providers; else there may be more.
func (r *Run) Init(ctx context.Context, lock []byte, locked bool, values map[string]string) error {
	if err := r.write(lockFile, withoutOwn(lock)); err != nil {
		return err
	}
	if err := r.write(overrideFile, []byte(override)); err != nil {
		return err
	}
	vars, err := r.values(values)
	if err != nil {
		return err
	}
	if err := r.write(valuesFile, vars); err != nil {
		return err
	}
	if locked && r.in.cached(lock) {
		r.in.cache.RLock()
		defer r.in.cache.RUnlock()
	} else {
		r.in.cache.Lock()
		defer r.in.cache.Unlock()
	}
	return r.say(ctx, "init", func(ctx context.Context, out *output) error {
		return r.tf.InitJSON(ctx, out)
	})
}

// write puts a file of ours among the template's; nothing means no file.
func (r *Run) write(name string, content []byte) error {
	path := filepath.Join(r.cfg.Dir, name)
	if len(content) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("terraform: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("terraform: %w", err)
	}
	return nil
}

// Validate checks the files.
func (r *Run) Validate(ctx context.Context) error {
	var found *tfjson.ValidateOutput
	return r.say(ctx, "validate", func(ctx context.Context, out *output) (err error) {
		r.tf.SetStdout(nil)
		if found, err = r.tf.Validate(ctx); err != nil {
			return err
		}
		for i := range found.Diagnostics {
			out.diagnose(&found.Diagnostics[i])
		}
		return nil
	})
}

// Plan finds out what is to do, for all that is there to go if destroy.
func (r *Run) Plan(ctx context.Context, destroy bool) (*tfjson.Plan, error) {
	err := r.say(ctx, "plan", func(ctx context.Context, out *output) error {
		_, err := r.tf.PlanJSON(ctx, out, tfexec.Out(planFile), tfexec.Destroy(destroy), tfexec.Lock(false))
		return err
	})
	if err != nil {
		return nil, err
	}
	var plan *tfjson.Plan
	err = r.say(ctx, "plan", func(ctx context.Context, _ *output) (err error) {
		r.tf.SetStdout(nil)
		plan, err = r.tf.ShowPlanFile(ctx, planFile)
		return err
	})
	return plan, err
}

// Apply does what was planned. The state is on disk after each resource.
func (r *Run) Apply(ctx context.Context, stage string) error {
	return r.say(ctx, stage, func(ctx context.Context, out *output) error {
		return r.tf.ApplyJSON(ctx, out, tfexec.DirOrPlan(planFile), tfexec.Lock(false))
	})
}

// LockFile returns the lock file that Init left, without what is ours.
func (r *Run) LockFile() ([]byte, error) {
	lock, err := os.ReadFile(filepath.Join(r.cfg.Dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	return withoutOwn(lock), nil
}

// say runs one command of Terraform and tells what it says. When ctx is done
// Terraform is interrupted, and after the grace killed with all its kin.
func (r *Run) say(ctx context.Context, stage string, command func(context.Context, *output) error) error {
	out := &output{stage: stage, log: r.cfg.Log, underway: make(map[string]bool), problem: func(p *provisionerv1.Problem) { r.problems = append(r.problems, p) }}
	before := len(r.problems)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		select {
		case <-done:
		case <-time.After(r.in.cfg.Grace):
			KillKin(r.cfg.Mark)
		}
	}()
	err := command(ctx, out)
	close(done)
	<-watched
	out.flush()
	out.abandoned()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("terraform %s: %w", stage, context.Cause(ctx))
	case hasErrors(r.problems[before:]):
		return fmt.Errorf("terraform %s: %w", stage, summary(r.problems[before:]))
	case err != nil:
		return fmt.Errorf("terraform %s: %w", stage, err)
	}
	return nil
}

// values returns the file with the variables' values. A value is a string, or of
// a variable of another type JSON.
func (r *Run) values(values map[string]string) ([]byte, error) {
	if len(values) == 0 {
		return nil, nil
	}
	typed := make(map[string]any, len(values))
	declared := inspect(r.cfg.Dir).Variables
	for name, value := range values {
		typed[name] = value
		v := declared[name]
		if v == nil {
			continue
		}
		switch v.Type {
		case "", "string", "number", "bool", "any":
		default:
			if json.Valid([]byte(value)) {
				typed[name] = json.RawMessage(value)
			}
		}
	}
	return json.Marshal(typed)
}

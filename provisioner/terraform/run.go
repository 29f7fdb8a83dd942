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
	"runtime"
	"time"

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
	// Digest is of the template's files. Two of the same are the same; without
	// one nothing is taken over from an earlier job.
	Digest []byte
	// Dir has the template's files. Its parent belongs to the job too: the state
	// and Terraform's own data go there.
	Dir string
	// Mark is the value of MarkVar, no other's on this host.
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
	exec     binary // chosen by Init
	env      []string
	data     string // Terraform's own, as TF_DATA_DIR
	problems []*provisionerv1.Problem
	close    func()
}

// Open prepares a job's Terraform. Close it when the job is done.
func (in *Installation) Open(cfg RunConfig) (*Run, error) {
	parent := filepath.Dir(cfg.Dir)
	r := &Run{in: in, cfg: cfg, data: filepath.Join(parent, "terraform")}
	temp := filepath.Join(parent, "tmp")
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	temp, remove, err := shortPath(temp)
	if err != nil {
		return nil, err
	}
	r.close = remove
	env := maps.Clone(in.env)
	maps.Copy(env, cfg.Env)
	env[MarkVar], env["TF_DATA_DIR"], env["TMPDIR"] = cfg.Mark, r.data, temp
	env["TF_IN_AUTOMATION"] = "1" // it gives no advice on what to type next
	if runtime.GOOS != "windows" {
		// Providers are spoken to over a socket in temp, which is closed to other
		// users. Certificates for both ends of each of their many starts would
		// take longer than all else that a small template takes.
		env["TF_DISABLE_PLUGIN_TLS"] = "1"
	}
	for name, value := range env {
		r.env = append(r.env, name+"="+value)
	}
	return r, nil
}

// Close removes what is outside the job's directory.
func (r *Run) Close() { r.close() }

// Problems returns what Terraform had to say about files so far.
func (r *Run) Problems() []*provisionerv1.Problem { return r.problems }

// Init chooses the Terraform that the template requires, and prepares the
// directory. lock is the lock file that an import left; without one, the template's own
// counts, if it has one, and what that lacks is chosen anew.
func (r *Run) Init(ctx context.Context, lock []byte, values map[string]string) error {
	if err := r.choose(ctx); err != nil {
		return err
	}
	lock = withoutOwn(lock)
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
	// A state may be of a version that had others.
	beyond, err := r.stateBeyond(r.locked(lock))
	if err != nil {
		return err
	}
	if !beyond {
		if done, err := r.takeOver(lock, vars); done || err != nil {
			return err
		}
	}
	given := lock
	if len(lock) == 0 {
		if given, err = r.LockFile(); err != nil {
			return err
		}
	}
	if err := r.write(lockFile, given); err != nil {
		return err
	}
	beyond = beyond || r.filesBeyond(r.locked(given))
	if err := r.init(ctx, func() bool { return !beyond && r.in.cached(given, r.exec.source()) }); err != nil {
		return err
	}
	return r.handOn(lock, vars)
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

// Apply does what was planned. The state is on disk after each resource.
func (r *Run) Apply(ctx context.Context, stage string) error {
	return r.say(ctx, stage, "apply", "-json", "-no-color", "-input=false", "-auto-approve", "-lock=false", planFile)
}

// LockFile returns the template's lock file, which Init leaves, without what is ours.
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

// say runs one command of Terraform and tells what it says.
func (r *Run) say(ctx context.Context, stage string, args ...string) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := r.output(stage, func() { end(errSaidTooMuch) })
	before := len(r.problems)
	err := r.watch(ctx, func() error { return r.command(ctx, out, args...) })
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

// Test runs the tests that Terraform finds in the template, *.tftest.hcl. Those that
// apply make what they say, and Terraform destroys it.
func (r *Run) Test(ctx context.Context) error {
	return r.say(ctx, "test", "test", "-json", "-no-color")
}

// output takes what is said in a stage.
func (r *Run) output(stage string, tooMuch func()) *output {
	return &output{
		stage: stage, log: r.cfg.Log, underway: make(map[string]bool), tooMuch: tooMuch,
		problem: func(p *provisionerv1.Problem) { r.problems = append(r.problems, p) },
	}
}

// watch runs a command that is interrupted when ctx is done, and kills it with
// all its kin when it is still there after the grace.
func (r *Run) watch(ctx context.Context, command func() error) error {
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
	err := command()
	close(done)
	<-watched
	return err
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

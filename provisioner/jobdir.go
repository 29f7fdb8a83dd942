package provisioner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// jobDir is a job's directory.
type jobDir struct {
	path string
	ref  *provisionerv1.JobRef
}

// Files in it. Each is written beside and renamed, so that it is whole or not
// there.
const (
	jobFile    = "job.json"
	begunFile  = "begun" // holds the head of the state that the build started from
	resultFile = "result.json"
	stateFile  = "terraform.tfstate"
	// lastFile is the last whole state that was seen: Terraform writes its own in
	// place, and one that is killed there leaves half of it.
	lastFile = "terraform.tfstate.last"
	// erroredFile is where Terraform puts a state that it could not write.
	erroredFile = "files/errored.tfstate"
	ballastFile = "ballast"
)

// makeDir makes the directory of an attempt, in place of an earlier one's that
// left nothing to deliver.
func makeDir(data string, ref *provisionerv1.JobRef) (*jobDir, error) {
	if !filepath.IsLocal(ref.GetId()) || filepath.Base(ref.GetId()) != ref.GetId() {
		return nil, fmt.Errorf("provisioner: job id %q", ref.GetId())
	}
	d := &jobDir{filepath.Join(data, "jobs", ref.GetId()), ref}
	if d.hasBegun() {
		return nil, fmt.Errorf("provisioner: job %s: an earlier attempt's state is still to be delivered", ref.GetId())
	}
	if err := os.RemoveAll(d.path); err != nil {
		return nil, fmt.Errorf("provisioner: %w", err)
	}
	if err := os.MkdirAll(d.files(), 0o700); err != nil {
		return nil, fmt.Errorf("provisioner: make the job's directory: %w", err)
	}
	raw, err := protojson.Marshal(ref)
	if err != nil {
		return nil, fmt.Errorf("provisioner: encode job: %w", err)
	}
	if err := d.put(jobFile, raw); err != nil {
		d.remove()
		return nil, err
	}
	return d, nil
}

// leftovers are the directories that earlier processes left.
func leftovers(data string) ([]*jobDir, error) {
	entries, err := os.ReadDir(filepath.Join(data, "jobs"))
	if err != nil {
		return nil, fmt.Errorf("provisioner: %w", err)
	}
	var all []*jobDir
	for _, e := range entries {
		d := &jobDir{filepath.Join(data, "jobs", e.Name()), new(provisionerv1.JobRef)}
		raw, err := os.ReadFile(d.file(jobFile))
		if errors.Is(err, fs.ErrNotExist) || err == nil && protojson.Unmarshal(raw, d.ref) != nil {
			d.remove() // it ended while it was made
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("provisioner: %w", err)
		}
		all = append(all, d)
	}
	return all, nil
}

func (d *jobDir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }
func (d *jobDir) files() string           { return d.file("files") }

// put writes a file so that it is there, whole, when the machine is gone in the
// next moment.
func (d *jobDir) put(name string, content []byte) error {
	next := d.file(name) + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("provisioner: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(next, d.file(name))
	}
	if err != nil {
		return fmt.Errorf("provisioner: write %s: %w", name, err)
	}
	return nil
}

func (d *jobDir) has(name string) bool {
	_, err := os.Stat(d.file(name))
	return err == nil
}

func (d *jobDir) hasState() bool { return d.has(stateFile) }
func (d *jobDir) hasBegun() bool { return d.has(begunFile) }

// putState lays the state that a build starts from.
func (d *jobDir) putState(raw []byte) error {
	if len(raw) == 0 {
		return d.reserve(0)
	}
	if _, err := parseState(raw); err != nil {
		return fmt.Errorf("provisioner: state from the coordinator: %w", err)
	}
	return errors.Join(d.put(stateFile, raw), d.reserve(len(raw)))
}

// begin notes that the build may change something from now on.
func (d *jobDir) begin() error {
	var from stateHead
	if raw, err := os.ReadFile(d.file(stateFile)); err == nil {
		s, err := parseState(raw)
		if err != nil {
			return fmt.Errorf("provisioner: state before the build: %w", err)
		}
		from = s.stateHead
	}
	raw, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("provisioner: %w", err)
	}
	return d.put(begunFile, raw)
}

func (d *jobDir) putResult(r *provisionerv1.Result) error {
	raw, err := protojson.Marshal(r)
	if err != nil {
		return fmt.Errorf("provisioner: encode result: %w", err)
	}
	return d.put(resultFile, raw)
}

// leftResult is the result that an earlier process came to.
func (d *jobDir) leftResult() *provisionerv1.Result {
	r := new(provisionerv1.Result)
	if raw, err := os.ReadFile(d.file(resultFile)); err == nil && protojson.Unmarshal(raw, r) == nil {
		return r
	}
	return failed(d.ref, errors.New("the provisioner ended while Terraform ran; the state is what Terraform had done by then"))
}

// refuse moves the directory to where people find it, and returns that.
func (d *jobDir) refuse(data string) (string, error) {
	to := filepath.Join(data, "refused", fmt.Sprintf("%s.%d", d.ref.GetId(), d.ref.GetAttempt()))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("provisioner: %w", err)
	}
	if err := os.Rename(d.path, to); err != nil {
		return "", fmt.Errorf("provisioner: %w", err)
	}
	return to, nil
}

// remove removes the directory. What stays is removed at the next start.
func (d *jobDir) remove() {
	// Without these it means nothing, whatever else cannot be removed.
	_ = os.Remove(d.file(begunFile))
	_ = os.Remove(d.file(jobFile))
	_ = os.RemoveAll(d.path)
}

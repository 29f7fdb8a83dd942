package terraform

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
	"google.golang.org/protobuf/encoding/protowire"
)

// Plan is what Terraform found there is to do.
type Plan struct {
	After  *tfjson.StateModule // what will be there
	Before *tfjson.StateModule // what is there, and what was read
	links  *links
}

// Plan finds out what is to do, for all that is there to go if destroy.
func (r *Run) Plan(ctx context.Context, destroy bool) (*Plan, error) {
	args := []string{"plan", "-json", "-no-color", "-input=false", "-lock=false", "-out=" + planFile}
	if destroy {
		args = append(args, "-destroy")
	}
	if err := r.say(ctx, "plan", args...); err != nil {
		return nil, err
	}
	plan, err := readPlan(filepath.Join(r.cfg.Dir, planFile))
	if errors.Is(err, errFormat) {
		plan, err = r.showPlan(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("terraform plan: %w", err)
	}
	plan.links = readLinks(r.cfg.Dir, r.data)
	return plan, nil
}

// showPlan has Terraform tell what it planned. That takes as long as to plan:
// it starts, and starts every provider for its schema.
func (r *Run) showPlan(ctx context.Context) (*Plan, error) {
	var raw strings.Builder
	if err := r.watch(ctx, func() error { return r.command(ctx, &raw, "show", "-json", "-no-color", planFile) }); err != nil {
		return nil, fmt.Errorf("show: %w", err)
	}
	var shown tfjson.Plan
	if err := json.Unmarshal([]byte(raw.String()), &shown); err != nil {
		return nil, fmt.Errorf("show: %w", err)
	}
	plan := &Plan{After: new(tfjson.StateModule), Before: new(tfjson.StateModule)}
	if shown.PlannedValues != nil {
		plan.After = shown.PlannedValues.RootModule
	}
	if shown.PriorState != nil && shown.PriorState.Values != nil {
		plan.Before = shown.PriorState.Values.RootModule
	}
	return plan, nil
}

const (
	// planVersion is the version of a plan file's format that is read here. It
	// is raised when what readers rely on changes.
	planVersion = 3

	// maxPlan bounds a plan and the state in it, which are held in memory.
	maxPlan = 256 << 20
)

// errFormat says that a plan file is not of the format that is read here.
var errFormat = errors.New("a plan of another format")

// readPlan reads a plan file: a zip of the plan in protocol buffers, of the state
// that it starts from, and of the configuration.
func readPlan(path string) (*Plan, error) {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFormat, err)
	}
	defer archive.Close()
	raw, err := member(archive, "tfplan")
	if err != nil {
		return nil, err
	}
	prior, err := member(archive, "tfstate")
	if err != nil {
		return nil, err
	}
	plan := new(Plan)
	if plan.After, err = readChanges(raw); err != nil {
		return nil, err
	}
	if plan.Before, err = readState(prior); err != nil {
		return nil, fmt.Errorf("%w: %w", errFormat, err)
	}
	return plan, nil
}

func member(archive *zip.ReadCloser, name string) ([]byte, error) {
	f, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFormat, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPlan+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFormat, err)
	}
	if len(raw) > maxPlan {
		return nil, fmt.Errorf("the plan is larger than %d MiB", maxPlan>>20)
	}
	return raw, nil
}

// Numbers of the fields and values that matter here.
const (
	planVersionField protowire.Number = 1
	planChangeField  protowire.Number = 3

	instanceAddressField protowire.Number = 13
	instanceDeposedField protowire.Number = 7
	instanceChangeField  protowire.Number = 9

	changeActionField protowire.Number = 1
	changeValueField  protowire.Number = 2

	valueMsgpackField protowire.Number = 1

	actionDelete = 5
	actionForget = 8
)

// readChanges returns what is there when all changes are made. What does not
// change is among them.
func readChanges(plan []byte) (*tfjson.StateModule, error) {
	m := new(tfjson.StateModule)
	version := uint64(0)
	err := fields(plan, func(number protowire.Number, n uint64, bytes []byte) error {
		switch number {
		case planVersionField:
			version = n
		case planChangeField:
			r, err := readChange(bytes)
			if r != nil {
				m.Resources = append(m.Resources, r)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if version != planVersion {
		return nil, fmt.Errorf("%w: version %d", errFormat, version)
	}
	return m, nil
}

// readChange returns what a change leaves; nil for nothing.
func readChange(raw []byte) (*tfjson.StateResource, error) {
	var address string
	var change []byte
	deposed := false
	err := fields(raw, func(number protowire.Number, _ uint64, bytes []byte) error {
		switch number {
		case instanceAddressField:
			address = string(bytes)
		case instanceDeposedField:
			deposed = len(bytes) > 0
		case instanceChangeField:
			change = bytes
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	action, last := uint64(0), []byte(nil)
	err = fields(change, func(number protowire.Number, n uint64, bytes []byte) error {
		switch number {
		case changeActionField:
			action = n
		case changeValueField: // the old one and the new one, or one
			last = bytes
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if deposed || action == actionDelete || action == actionForget {
		return nil, nil
	}
	r := resourceAt(address)
	if r == nil {
		return nil, fmt.Errorf("%w: address %q", errFormat, address)
	}
	var packed []byte
	if err := fields(last, func(number protowire.Number, _ uint64, bytes []byte) error {
		if number == valueMsgpackField {
			packed = bytes
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if r.AttributeValues, err = unpackValues(packed); err != nil {
		return nil, fmt.Errorf("%w: values of %s: %w", errFormat, address, err)
	}
	return r, nil
}

// fields calls f with each field of a message: a number, or bytes.
func fields(message []byte, f func(number protowire.Number, n uint64, bytes []byte) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return fmt.Errorf("%w: %w", errFormat, protowire.ParseError(size))
		}
		message = message[size:]
		var n uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(message)
		default:
			size = protowire.ConsumeFieldValue(number, kind, message)
		}
		if size < 0 {
			return fmt.Errorf("%w: %w", errFormat, protowire.ParseError(size))
		}
		message = message[size:]
		if err := f(number, n, bytes); err != nil {
			return err
		}
	}
	return nil
}

// resourceAt returns a resource with what its address says of it; nil if that is
// no address.
func resourceAt(address string) *tfjson.StateResource {
	r := &tfjson.StateResource{Address: address, Mode: tfjson.ManagedResourceMode}
	parts := strings.Split(plain(address), ".")
	for len(parts) > 2 && parts[0] == "module" {
		parts = parts[2:]
	}
	if len(parts) == 3 && parts[0] == "data" {
		r.Mode, parts = tfjson.DataResourceMode, parts[1:]
	}
	if len(parts) != 2 {
		return nil
	}
	r.Type, r.Name = parts[0], parts[1]
	return r
}

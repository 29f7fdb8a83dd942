package provisioner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// stateHead is what tells a state from others.
type stateHead struct {
	Lineage string `json:"lineage"`
	Serial  uint64 `json:"serial"`
}

// state is a state of Terraform's, whole.
type state struct {
	stateHead
	raw []byte
}

var errNoState = errors.New("not a state of Terraform")

// parseState reads a state. Half of one is an error.
func parseState(raw []byte) (*state, error) {
	s := &state{raw: raw}
	if err := json.Unmarshal(raw, &s.stateHead); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoState, err)
	}
	if s.Lineage == "" {
		return nil, fmt.Errorf("%w: it has no lineage", errNoState)
	}
	return s, nil
}

// state returns the state to deliver: nil if there is none, or the one that the
// build started from.
func (d *jobDir) state() (*state, error) {
	var from stateHead
	raw, err := os.ReadFile(d.file(begunFile))
	if err != nil {
		return nil, fmt.Errorf("provisioner: %w", err)
	}
	if err := json.Unmarshal(raw, &from); err != nil {
		return nil, fmt.Errorf("provisioner: %s of job %s: %w", begunFile, d.ref.GetId(), err)
	}
	newest, err := d.newest()
	if err != nil || newest == nil || newest.stateHead == from {
		return nil, err
	}
	return newest, nil
}

// newest returns the newest whole state there is, nil if there never was any.
func (d *jobDir) newest() (*state, error) {
	var newest *state
	torn := false
	for _, name := range []string{stateFile, erroredFile} {
		raw, err := os.ReadFile(d.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("provisioner: %w", err)
		}
		s, err := parseState(raw)
		if err != nil {
			torn = true
		} else if newest == nil || s.Serial > newest.Serial {
			newest = s
		}
	}
	if newest != nil || !torn {
		return newest, nil
	}
	// Killed while it wrote. The last whole one lacks what it wrote last, which
	// is newer than what was kept all the same.
	raw, err := os.ReadFile(d.file(lastFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("provisioner: %w", err)
	}
	return parseState(raw)
}

// noteState keeps the state that is there now, if it is whole and another than
// the one noted last, and returns which is.
func (d *jobDir) noteState(noted []byte) []byte {
	raw, err := os.ReadFile(d.file(stateFile))
	if err != nil || bytes.Equal(raw, noted) {
		return noted
	}
	if _, err := parseState(raw); err != nil {
		return noted
	}
	// Not synced, as put does: it is for a Terraform that is killed, not for a
	// machine. If it fails, the next one may do better.
	next := d.file(lastFile) + ".new"
	if os.WriteFile(next, raw, 0o600) != nil || os.Rename(next, d.file(lastFile)) != nil {
		return noted
	}
	return raw
}

package workspaces

import (
	"errors"
	"fmt"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
)

// BadInput is a request that cannot be met as it is; the text says why.
type BadInput struct{ Reason string }

func (e *BadInput) Error() string { return e.Reason }

func badInput(format string, args ...any) error { return &BadInput{fmt.Sprintf(format, args...)} }

// Underway is a build in the way of what was asked for.
type Underway struct {
	Number     int
	Transition store.Transition
}

func (e *Underway) Error() string {
	return fmt.Sprintf("build %d, which is to %s the workspace, is under way; wait for it, or cancel it", e.Number, e.Transition)
}

// Unwrap makes it match store.ErrConflict.
func (e *Underway) Unwrap() error { return store.ErrConflict }

// StateHeld is a provisioner that was lost during a build and may have a newer
// state than the one kept.
type StateHeld struct {
	Provisioner string
	Since       time.Time
}

func (e *StateHeld) Error() string {
	return fmt.Sprintf("provisioner %s, lost during a build that it began at %s, may have the newest state; "+
		"start it again and wait until it has delivered, or, if it will never return, push a state with adit state push",
		e.Provisioner, e.Since.UTC().Format(time.RFC3339))
}

// Unwrap makes it match store.ErrConflict.
func (e *StateHeld) Unwrap() error { return store.ErrConflict }

// ErrExternal is a build, or a state, of a workspace that has none.
var ErrExternal = errors.New("the workspace is external: it has no template, no builds and no state")

// free says what keeps a workspace from being changed, if anything.
func free(w store.WorkspaceState) error {
	switch {
	case w.External:
		return ErrExternal
	case w.Last != nil && w.Last.FinishedAt == nil:
		return &Underway{Number: w.Last.Number, Transition: w.Last.Transition}
	case w.Holder != nil:
		return &StateHeld{Provisioner: w.Holder.Provisioner, Since: w.Holder.Since}
	}
	return nil
}

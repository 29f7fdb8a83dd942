// Package pty has terminals, and those that outlive who looks at them.
//
// A [Terminal] is one that a program runs on. [Sessions] are programs on terminals
// by name, kept by tmux or screen where there is one, and else by this process:
// people attach to them and leave, several at once, and who comes back sees what
// came meanwhile. The owner of Sessions calls Close, which ends those that this
// process keeps.
package pty

import (
	"io"

	"github.com/aditmesh/adit/agent/family"
)

// Size is a terminal's: in characters, and in pixels where that is known.
type Size struct{ Columns, Rows, Width, Height uint32 }

// Process is a program that was started, with what it has started.
type Process struct {
	*family.Family
	// Wait waits for the program, and Kill ends it alone.
	Wait, Kill func() error
}

// copyAll copies until an error. A writer that fails gets no more, and reading
// goes on: the program is to hear of it by a hang-up and not by a terminal that is
// full.
func copyAll(w io.Writer, r io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				w = io.Discard
			}
		}
		if err != nil {
			return err
		}
	}
}

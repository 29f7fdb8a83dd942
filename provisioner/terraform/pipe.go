package terraform

import (
	"fmt"
	"io"
	"os"
	"time"
)

// pipe is what a command writes to, on its way into a writer.
type pipe struct {
	from, to *os.File
	copied   chan struct{} // closed when nothing more comes
}

func newPipe(into io.Writer) (*pipe, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	if to, err = lasting(to); err != nil {
		from.Close()
		return nil, fmt.Errorf("terraform: %w", err)
	}
	p := &pipe{from, to, make(chan struct{})}
	go func() {
		defer close(p.copied)
		_, _ = io.Copy(into, from) // which ends when the last who writes does, or with close
	}()
	return p, nil
}

// given is for when the command has been started: only it writes from now on.
func (p *pipe) given() { p.to.Close() }

// close waits for what is still to come, though not for longer than limit: the
// command may have left somebody behind who holds the pipe.
func (p *pipe) close(limit time.Duration) {
	p.to.Close()
	select {
	case <-p.copied:
	case <-time.After(limit):
	}
	p.from.Close()
	<-p.copied
}

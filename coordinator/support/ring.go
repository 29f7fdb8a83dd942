package support

import (
	"bytes"
	"sync"
)

const (
	// ringBytes bounds what is kept of the log: some thousand lines.
	ringBytes = 1 << 20

	// ringLine bounds one line.
	ringLine = 8 << 10
)

// Ring keeps the last lines of a log in memory. It is an io.Writer that takes a
// line with each write, and may be used concurrently.
type Ring struct {
	mu    sync.Mutex // guards what follows
	lines [][]byte
	size  int
}

// Write keeps a line. It never fails.
func (r *Ring) Write(line []byte) (int, error) {
	kept := bytes.Clone(line[:min(len(line), ringLine)])
	if len(kept) < len(line) {
		kept = append(kept[:ringLine-1], '\n')
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, kept)
	r.size += len(kept)
	for r.size > ringBytes {
		r.size -= len(r.lines[0])
		r.lines[0] = nil
		r.lines = r.lines[1:]
	}
	return len(line), nil
}

// Text returns what is kept, the oldest line first.
func (r *Ring) Text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.lines, nil)
}

package process

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// logMax bounds an agent's log; the one before it is kept as well.
const logMax = 1 << 20

// logWriter is a file of bounded size.
type logWriter struct {
	mu   sync.Mutex // guards all below
	path string
	f    *os.File
	size int64
}

func openLog(path string) (*logWriter, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logWriter{path: path, f: f, size: info.Size()}, nil
}

// Write never fails: an agent must not stop because a disk is full.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.size+int64(len(p)) > logMax && os.Rename(w.path, w.path+".1") == nil {
		if f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
			w.f.Close()
			w.f, w.size = f, 0
		}
	}
	n, _ := w.f.Write(p)
	w.size += int64(n)
	return len(p), nil
}

// say adds a line of the supervisor's own.
func (w *logWriter) say(format string, a ...any) {
	fmt.Fprintf(w, "%s supervisor: %s\n", time.Now().Format(time.RFC3339), fmt.Sprintf(format, a...))
}

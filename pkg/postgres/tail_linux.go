package postgres

import (
	"bytes"
	"io"
)

// tailBuffer keeps the end of what is written to it. It is written by one
// goroutine and read after that has ended.
type tailBuffer struct{ buf []byte }

const tailSize = 4 << 10

var _ io.Writer = (*tailBuffer)(nil)

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// lastLine returns the last line that says what went wrong, else the last.
func (t *tailBuffer) lastLine() string {
	lines := bytes.Split(bytes.TrimSpace(t.buf), []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if bytes.Contains(lines[i], []byte("FATAL")) || bytes.Contains(lines[i], []byte("error:")) {
			return string(lines[i])
		}
	}
	return string(lines[len(lines)-1])
}

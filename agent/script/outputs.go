package script

import (
	"os"
	"sync"
	"time"
)

// Output is what a script that has ended left to what runs in its background: the end
// of a pipe that is to be read, or who prints there is ended by it.
type Output struct {
	Script string
	File   *os.File
}

// outputs are those that are being read.
type outputs struct {
	readers sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open map[*os.File]string
}

// read reads what a script prints until the end, which closes it, or until it is
// taken. It is called in a goroutine of its own.
func (o *outputs) read(in *os.File, script string, say func(string)) {
	o.mu.Lock()
	if o.open == nil {
		o.open = make(map[*os.File]string)
	}
	o.open[in] = script
	o.mu.Unlock()
	readLines(in, say)
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ours := o.open[in]; ours {
		delete(o.open, in)
		in.Close()
	}
}

// take ends reading and returns what was not at its end.
func (o *outputs) take() []Output {
	o.mu.Lock()
	var list []Output
	for in, script := range o.open {
		list = append(list, Output{script, in})
		_ = in.SetReadDeadline(time.Unix(1, 0)) // it is a pipe
	}
	clear(o.open)
	o.mu.Unlock()
	o.readers.Wait()
	for _, l := range list {
		_ = l.File.SetReadDeadline(time.Time{})
	}
	return list
}

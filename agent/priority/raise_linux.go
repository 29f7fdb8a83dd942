package priority

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// niceBy is by how much the agent gets nicer to itself: it has ten times the
	// weight of a program of the workspace then, and needs next to nothing.
	niceBy   = 10
	niceMost = -20

	// oomBy is how much less the agent counts when memory runs out, in thousandths of
	// all there is: half. One that eats that much by itself is still ended.
	oomBy   = 500
	oomMost = -1000
)

// Raised is what was raised, and what it was before.
type Raised struct {
	niceWas, nice int

	// mu is held while the score is another: that is the whole process's, whereas
	// on Linux each thread has a nice value of its own.
	mu          sync.Mutex
	score       *os.File // nil if it is as it was
	oomWas, oom int
}

// Raise raises this process, with all its threads. Its error says what the system did
// not allow; the rest is done all the same.
func Raise() (*Raised, error) {
	r := new(Raised)
	// From now on the runtime makes no thread from one that is locked, as those are
	// that start programs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return r, errors.Join(r.raiseNice(), r.raiseScore())
}

func (r *Raised) raiseNice() error {
	const kernelBias = 20 // the system call returns 20 less the nice value
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return fmt.Errorf("priority: read: %w", err)
	}
	r.niceWas = kernelBias - prio
	r.nice = r.niceWas
	nice := max(r.niceWas-niceBy, niceMost)
	done := make(map[int]bool)
	for more := true; more; { // a thread that is not raised yet makes others
		more = false
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return fmt.Errorf("priority: threads: %w", err)
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(filepath.Base(t))
			if err != nil || done[id] {
				continue
			}
			done[id], more = true, true
			if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("priority: nice %d: %w", nice, err)
			}
		}
	}
	r.nice = nice
	r.raiseGroup(nice)
	return nil
}

// raiseGroup raises the session: where the kernel shares the processor among sessions
// first, a nice value is one among the programs of a session alone. Each program of
// the workspace begins one of its own. A session that others began is theirs.
func (r *Raised) raiseGroup(nice int) {
	if sid, err := unix.Getsid(0); err == nil && sid == os.Getpid() {
		_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0) // not every kernel does so
	}
}

func (r *Raised) raiseScore() error {
	// It stays open: once the agent has hidden its memory, it could not open it again.
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("priority: %w", err)
	}
	text := make([]byte, 16)
	n, err := f.Read(text)
	if err == nil {
		r.oomWas, err = strconv.Atoi(strings.TrimSpace(string(text[:n])))
	}
	r.oom = max(r.oomWas-oomBy, oomMost)
	if err == nil {
		err = write(f, r.oom)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("priority: out-of-memory score %d: %w", r.oom, err), f.Close())
	}
	r.score = f
	return nil
}

func write(f *os.File, n int) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(n)), 0)
	return err
}

// Start starts a program as it would be if nothing had been raised. A nil Raised
// starts it as it is.
func (r *Raised) Start(cmd *exec.Cmd) error { return r.Lowered(cmd.Start) }

// Lowered calls f, which starts a program or becomes one, on a thread that is not
// raised.
func (r *Raised) Lowered(f func() error) error {
	if r == nil {
		return f()
	}
	// A program gets what the thread has that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if r.nice != r.niceWas {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, r.niceWas); err != nil {
			return fmt.Errorf("priority: nice %d: %w", r.niceWas, err)
		}
		// If it cannot be had back, one thread is as any program's.
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, r.nice) }()
	}
	if r.score != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := write(r.score, r.oomWas); err != nil {
			return fmt.Errorf("priority: out-of-memory score %d: %w", r.oomWas, err)
		}
		defer func() { _ = write(r.score, r.oom) }() // it was allowed before
	}
	return f()
}

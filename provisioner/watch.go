package provisioner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// watchEvery is how often the room on the disk is looked at: something that
	// writes as fast as it can fills ballastBytes in this time. It is how often the
	// state is too, where nobody tells that it was written.
	watchEvery = 50 * time.Millisecond

	// measureEvery is the same for the size of the job's directory, which is
	// more work.
	measureEvery = 2 * time.Second

	// ballastBytes is the room kept for the end of a build on a disk that it
	// fills: for its state, more than once.
	ballastBytes = 16 << 20

	// lowDisk is how much room there must be for Terraform to go on.
	lowDisk = 4 << 20
)

var errDiskFull = errors.New("the disk of the provisioner is full; Terraform was interrupted")

// reserve takes room for the end of a build while there is any.
func (d *jobDir) reserve(state int) error {
	if err := allocate(d.file(ballastFile), ballastBytes+4*int64(state)); err != nil {
		return fmt.Errorf("provisioner: the disk has no room for a build, nothing was changed: %w", err)
	}
	return nil
}

// release gives the room back.
func (d *jobDir) release() { _ = os.Remove(d.file(ballastFile)) } // or it is not there

// watch looks after the disk and the state while Terraform runs, until the
// returned function is called.
func (j *job) watch() func() {
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { j.noteStates(stop) })
	watching.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		var measured time.Time
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if left, err := freeBytes(j.dir.path); err == nil && left < lowDisk {
				j.dir.release()
				j.interrupt(errDiskFull)
			}
			if time.Since(measured) > measureEvery {
				if used := j.dir.size(); used > j.p.cfg.MaxDisk {
					j.interrupt(fmt.Errorf("the job uses %d MiB of disk, and may use %d; Terraform was interrupted", used>>20, j.p.cfg.MaxDisk>>20))
				}
				measured = time.Now()
			}
		}
	})
	return func() {
		close(stop)
		watching.Wait()
	}
}

// noteStates keeps each state that Terraform writes, if it can: Terraform empties
// the file before it makes the next one, and with many resources is most likely
// there when it is killed.
func (j *job) noteStates(stop <-chan struct{}) {
	var poll <-chan time.Time
	written, end, err := writes(j.dir.path, stateFile)
	if err == nil {
		defer end()
	} else {
		j.log.Debug("the state is only looked at now and then", "err", err)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		poll = tick.C
	}
	var noted []byte
	for {
		began := time.Now()
		noted = j.dir.noteState(noted)
		// A large one takes time that Terraform needs too.
		rest := time.After(time.Since(began))
		select {
		case <-stop:
			return
		case <-written:
		case <-poll:
		}
		select {
		case <-stop:
			return
		case <-rest:
		}
	}
}

// size is how much the directory holds, without what is linked from elsewhere.
func (d *jobDir) size() int64 {
	var sum int64
	// What comes and goes meanwhile is counted next time.
	_ = filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == ballastFile {
			return nil
		}
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

package provisioner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// watchEvery is how often the state and the room on the disk are looked at:
	// something that writes as fast as it can fills ballastBytes in this time.
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

// watch looks after the disk while Terraform runs, until the returned function
// is called.
func (j *job) watch() func() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		var noted, measured time.Time
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
			if info, err := os.Stat(j.dir.file(stateFile)); err == nil && info.ModTime() != noted {
				noted = info.ModTime()
				j.dir.noteState()
			}
			if time.Since(measured) > measureEvery {
				if used := j.dir.size(); used > j.p.cfg.MaxDisk {
					j.interrupt(fmt.Errorf("the job uses %d MiB of disk, and may use %d; Terraform was interrupted", used>>20, j.p.cfg.MaxDisk>>20))
				}
				measured = time.Now()
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
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

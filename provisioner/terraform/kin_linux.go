package terraform

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// KillKin kills every process that carries the mark of a job: Terraform, its
// providers, and what a template started, wherever it moved. It returns how many
// there were.
//
// A process that is meant to outlive its job drops MarkVar from its environment.
func KillKin(mark string) int {
	want := []byte(MarkVar + "=" + mark)
	killed := 0
	// A process can start another while the list is read: look until there is
	// none, though not for ever at something that forks faster than we kill.
	for range 10 {
		n := 0
		processes, err := os.ReadDir("/proc")
		if err != nil {
			return killed
		}
		for _, p := range processes {
			pid, err := strconv.Atoi(p.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			environ, err := os.ReadFile(filepath.Join("/proc", p.Name(), "environ"))
			if err != nil || !contains(environ, want) {
				continue // not ours to read, so not ours
			}
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				n++
			}
		}
		if killed += n; n == 0 {
			break
		}
	}
	return killed
}

// contains reports whether one of the environment's entries is want.
func contains(environ, want []byte) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if bytes.Equal(entry, want) {
			return true
		}
	}
	return false
}

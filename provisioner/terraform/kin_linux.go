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
	killed := 0
	// A process can start another while the list is read: look until there is
	// none, though not for ever at something that forks faster than we kill.
	for range 10 {
		n := 0
		for _, pid := range kin(mark) {
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

// kin are the processes that carry the mark of a job.
func kin(mark string) (pids []int) {
	want := []byte(MarkVar + "=" + mark)
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil
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
		pids = append(pids, pid)
	}
	return pids
}

// Interrupt interrupts a job's Terraform if it is at its apply, and reports whether
// it is. A second interrupt would have it drop what it is at.
func Interrupt(mark string) bool {
	found := false
	for _, pid := range applying(mark) {
		found = syscall.Kill(pid, syscall.SIGINT) == nil || found
	}
	return found
}

// Applying reports whether a job's Terraform is at its apply.
func Applying(mark string) bool { return len(applying(mark)) > 0 }

func applying(mark string) (pids []int) {
	for _, pid := range kin(mark) {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err == nil && bytes.Contains(line, []byte("\x00apply\x00-json\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
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

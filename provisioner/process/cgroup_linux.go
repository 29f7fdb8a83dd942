package process

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// errNoCgroups is a host without cgroups of version 2.
var errNoCgroups = errors.New("no cgroups of version 2")

// cgroupOf returns where the cgroup of an agent is: below the root of version 2,
// which systemd mounts elsewhere while version 1 is in use too.
func cgroupOf(agent uuid.UUID) (string, error) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
			if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
				return filepath.Join(root, "adit", agent.String()), nil
			}
		}
	}
	return "", errNoCgroups
}

// makeCgroup makes the cgroup of an agent, which takes it out of the one of the
// provisioner's service.
func makeCgroup(agent uuid.UUID) (string, error) {
	group, err := cgroupOf(agent)
	if err != nil {
		return "", err
	}
	return group, os.MkdirAll(group, 0o755)
}

// killCgroup kills all in an agent's cgroup, if it has one.
func killCgroup(agent uuid.UUID) {
	if group, err := cgroupOf(agent); err == nil {
		os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	}
}

// removeCgroup ends what is left in an agent's cgroup and removes it. All is
// killed by then, so that it takes no time worth giving up for.
func removeCgroup(agent uuid.UUID) error {
	group, err := cgroupOf(agent)
	if err != nil {
		return nil
	}
	killCgroup(agent)
	deadline := time.Now().Add(killPatience)
	for {
		err := unix.Rmdir(group)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond) // what was killed is not gone at once
	}
}

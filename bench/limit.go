package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// limitPeriod is in how many microseconds a process may use its share of a core: few
// enough for what comes while it may not to fit into a socket.
const limitPeriod = 8000

// limitCPU has a process use no more than a part of one core until it is told to end,
// by a cgroup of version 1 or 2.
func limitCPU(pid int, share float64) (end func() error, err error) {
	quota, period := strconv.Itoa(int(share*limitPeriod)), strconv.Itoa(limitPeriod)
	var failed error
	for _, v := range []struct {
		root  string
		files [][2]string
	}{
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", period}, {"cpu.cfs_quota_us", quota}}},
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", quota + " " + period}}},
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("adit-bench-%d", os.Getpid()))
		leave := func() error {
			return errors.Join(os.WriteFile(filepath.Join(v.root, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644), os.Remove(dir))
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			for _, f := range append(v.files, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, f[0]), []byte(f[1]), 0o644))
			}
			if err == nil {
				return leave, nil
			}
			err = errors.Join(err, leave())
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

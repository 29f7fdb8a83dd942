package stats

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// proc is a machine of 4 cores and 8 GiB, of which 2 are used.
var proc = map[string]string{
	"proc/stat":    "cpu  100 0 200 5000 500 0 0 0 50 0\ncpu0 1 1 1 1 1 1\ncpu1 1 1 1 1 1 1\ncpu2 1 1 1 1 1 1\ncpu3 1 1 1 1 1 1\nintr 1\n",
	"proc/meminfo": "MemTotal:        8388608 kB\nMemFree:  1 kB\nMemAvailable:    6291456 kB\n",
}

func TestUsageIsThatOfWhatConfinesTheWorkspace(t *testing.T) {
	whole := Usage{CPU: 3 * time.Second, CPULimit: 4, Memory: 2 << 30, MemoryLimit: 8 << 30}
	for name, tt := range map[string]struct {
		files map[string]string
		want  Usage
	}{
		"a machine without cgroups": {nil, whole},
		"a machine with version 2": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cgroup.controllers": "cpu", "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
		}, whole},
		"a service of systemd": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/adit.service\n",
			"sys/fs/cgroup/system.slice/adit.service/cgroup.controllers": "cpu",
			"sys/fs/cgroup/system.slice/adit.service/cpu.stat":           "usage_usec 5\n",
			"sys/fs/cgroup/system.slice/adit.service/cpu.max":            "max 100000\n",
			"sys/fs/cgroup/system.slice/adit.service/memory.current":     "7",
			"sys/fs/cgroup/system.slice/adit.service/memory.max":         "max",
		}, whole},
		"a container of version 2": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cgroup.controllers": "cpu memory",
			"sys/fs/cgroup/cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "sys/fs/cgroup/cpu.max": "150000 100000\n",
			"sys/fs/cgroup/memory.current": "1000000", "sys/fs/cgroup/memory.max": "4000000", "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 400000\n",
		}, Usage{CPU: 1500 * time.Millisecond, CPULimit: 1.5, Memory: 600000, MemoryLimit: 4000000}},
		"a container of version 2 without limits, by the host's path": {map[string]string{
			"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cgroup.controllers": "cpu memory",
			"sys/fs/cgroup/cpu.stat": "usage_usec 1500000\n", "sys/fs/cgroup/cpu.max": "max 100000\n",
			"sys/fs/cgroup/memory.current": "1000000", "sys/fs/cgroup/memory.max": "max",
		}, Usage{CPU: 1500 * time.Millisecond, CPULimit: 4, Memory: 1000000, MemoryLimit: 8 << 30}},
		"a container of version 1": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
			"sys/fs/cgroup/cpuacct/cpuacct.usage":        "2000000000",
			"sys/fs/cgroup/cpuacct/cpu.cfs_quota_us":     "50000",
			"sys/fs/cgroup/cpuacct/cpu.cfs_period_us":    "100000",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1000", "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000",
			"sys/fs/cgroup/memory/memory.stat": "total_inactive_file 100\n",
		}, Usage{CPU: 2 * time.Second, CPULimit: 0.5, Memory: 900, MemoryLimit: 2000}},
		"a machine of version 1": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/\n3:cpu,cpuacct:/\n",
			"sys/fs/cgroup/cpuacct/cpuacct.usage":        "2000000000",
			"sys/fs/cgroup/cpuacct/cpu.cfs_quota_us":     "-1",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "1000", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
		}, whole},
		"files that make no sense": {map[string]string{
			"proc/self/cgroup": "0\n::\n0::/\n", "sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/cpu.stat": "usage_usec\n\nx y z\n",
			"sys/fs/cgroup/cpu.max": "", "sys/fs/cgroup/memory.current": "-1",
		}, whole},
	} {
		root := t.TempDir()
		for _, files := range []map[string]string{proc, tt.files} {
			for path, content := range files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := Measure(root, root)
		if got.Disk == 0 || got.DiskLimit < got.Disk {
			t.Errorf("%s: disk %d of %d", name, got.Disk, got.DiskLimit)
		}
		got.Disk, got.DiskLimit = 0, 0
		if got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tt.want)
		}
	}
}

func TestThisMachineCanBeMeasured(t *testing.T) {
	u := Measure("/", t.TempDir())
	if u.CPU == 0 || u.CPULimit == 0 || u.Memory == 0 || u.MemoryLimit < u.Memory || u.Disk == 0 {
		t.Errorf("%+v", u)
	}
}

package stats

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clockTick is the unit of /proc/stat, which is the same everywhere that
	// Go runs.
	clockTick = time.Second / 100

	// unlimited is where version 1 of cgroups puts limits that are none.
	unlimited = 1 << 60
)

// Measure reads what the workspace uses. root is "/", and dir is on the disk that
// counts.
func Measure(root, dir string) Usage {
	u := machine(root)
	confined(root, &u)
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		size := uint64(fs.Bsize)
		u.Disk = (fs.Blocks - fs.Bfree) * size
		u.DiskLimit = u.Disk + fs.Bavail*size // without what is root's alone
	}
	return u
}

// machine reads what the whole machine uses.
func machine(root string) (u Usage) {
	for _, line := range lines(root, "proc/stat") {
		f := strings.Fields(line)
		switch {
		case len(f) < 6 || !strings.HasPrefix(f[0], "cpu"):
		case f[0] == "cpu":
			for i, text := range f[1:] {
				// Idle and waiting for disks are no work, and guests are in user.
				if i != 3 && i != 4 && i < 8 {
					u.CPU += time.Duration(number(text)) * clockTick
				}
			}
		default:
			u.CPULimit++
		}
	}
	memory := pairs(root, "proc/meminfo")
	u.MemoryLimit = memory["MemTotal:"] << 10
	u.Memory = u.MemoryLimit - min(memory["MemAvailable:"]<<10, u.MemoryLimit)
	return u
}

// confined replaces what a cgroup confines. A service or a login of systemd's is
// no container unless it has limits.
func confined(root string, u *Usage) {
	groups := ownGroups(root)
	path, unified := groups[""]
	host := strings.HasPrefix(path, "/system.slice/") || strings.HasPrefix(path, "/user.slice/") || path == "/init.scope"
	if dir := groupDir(root, "sys/fs/cgroup", path, "cgroup.controllers"); unified && dir != "" {
		limit, period, _ := strings.Cut(text(dir, "cpu.max"), " ")
		cpuLimit := quota(limit, period)
		if stat := pairs(dir, "cpu.stat"); stat["usage_usec"] > 0 && path != "" && has(dir, "cpu.max") && (cpuLimit > 0 || !host) {
			u.CPU = time.Duration(stat["usage_usec"]) * time.Microsecond
			u.CPULimit = either(cpuLimit, u.CPULimit)
		}
		memory(dir, "memory.current", "memory.max", "inactive_file", host, u)
		return
	}
	if dir := groupDir(root, "sys/fs/cgroup/cpuacct", groups["cpuacct"], "cpuacct.usage"); dir != "" && groups["cpuacct"] != "" {
		limit := quota(text(dir, "cpu.cfs_quota_us"), text(dir, "cpu.cfs_period_us"))
		if limit > 0 || !v1Host(groups["cpuacct"]) {
			u.CPU = time.Duration(number(text(dir, "cpuacct.usage")))
			u.CPULimit = either(limit, u.CPULimit)
		}
	}
	if dir := groupDir(root, "sys/fs/cgroup/memory", groups["memory"], "memory.usage_in_bytes"); dir != "" && groups["memory"] != "" {
		memory(dir, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file", v1Host(groups["memory"]), u)
	}
}

// v1Host reports whether a path of version 1 is that of a machine itself. The root
// of a container looks like the machine's; its limits tell them apart.
func v1Host(path string) bool {
	return path == "/" || strings.HasPrefix(path, "/system.slice") || strings.HasPrefix(path, "/user.slice")
}

func memory(dir, current, limit, cache string, host bool, u *Usage) {
	used := number(text(dir, current))
	most := number(text(dir, limit)) // of "max" none
	if most >= unlimited || most > u.MemoryLimit {
		most = 0
	}
	if used == 0 || most == 0 && host {
		return
	}
	u.Memory = used - min(pairs(dir, "memory.stat")[cache], used)
	if most > 0 {
		u.MemoryLimit = most
	}
}

// ownGroups returns the paths of the process's cgroups by controller; "" is that
// of version 2.
func ownGroups(root string) map[string]string {
	groups := make(map[string]string)
	for _, line := range lines(root, "proc/self/cgroup") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		for name := range strings.SplitSeq(f[1], ",") {
			groups[name] = f[2]
		}
	}
	return groups
}

// groupDir returns where a cgroup is that has a file; in a container its path is
// the host's, and it is found at the root. "" if there is none.
func groupDir(root, mount, path, file string) string {
	for _, p := range []string{path, ""} {
		if dir := filepath.Join(root, mount, p); has(dir, file) {
			return dir
		}
	}
	return ""
}

// quota is a limit in cores; 0 of none.
func quota(limit, period string) float64 {
	l, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 64)
	p := number(period)
	if err != nil || l <= 0 || p == 0 {
		return 0
	}
	return math.Round(float64(l)/float64(p)*1000) / 1000
}

func either(a, b float64) float64 {
	if a > 0 {
		return a
	}
	return b
}

func has(dir, file string) bool { _, err := os.Stat(filepath.Join(dir, file)); return err == nil }

func text(dir, file string) string {
	b, _ := os.ReadFile(filepath.Join(dir, file)) // what is not there is empty
	return string(bytes.TrimSpace(b))
}

func lines(dir, file string) []string { return strings.Split(text(dir, file), "\n") }

func number(s string) uint64 { n, _ := strconv.ParseUint(strings.TrimSpace(s), 10, 64); return n }

// pairs reads a file of names and numbers.
func pairs(dir, file string) map[string]uint64 {
	m := make(map[string]uint64)
	for _, line := range lines(dir, file) {
		if f := strings.Fields(line); len(f) >= 2 {
			m[f[0]] = number(f[1])
		}
	}
	return m
}

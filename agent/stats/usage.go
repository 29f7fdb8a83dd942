package stats

import "time"

// Usage is what the workspace uses of what there is: of its container's share if
// it is confined to one, else of the machine. What cannot be read is zero.
type Usage struct {
	// CPU is the time used since some beginning; CPULimit is in cores.
	CPU      time.Duration
	CPULimit float64
	// In bytes. Memory leaves out what the kernel would give back at once.
	Memory, MemoryLimit uint64
	Disk, DiskLimit     uint64
}

//go:build !linux

package stats

// Measure reads what the workspace uses; nothing on this platform.
func Measure(root, dir string) Usage { return Usage{} }

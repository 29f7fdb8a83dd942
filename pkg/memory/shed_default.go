//go:build !linux

package memory

// shed gives memory back where the system can be told to.
func shed() error { return nil }

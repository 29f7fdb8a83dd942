//go:build !linux && !darwin

package daemon

// systemRunDir is none: what a user starts is the user's.
func systemRunDir() string { return "" }

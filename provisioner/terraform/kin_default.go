//go:build !linux

package terraform

// KillKin does nothing where there is no /proc: Terraform itself is killed all
// the same.
func KillKin(string) int { return 0 }

// Interrupt does nothing there.
func Interrupt(string) bool { return false }

// Applying is not known there.
func Applying(string) bool { return false }

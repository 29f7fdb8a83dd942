//go:build unix

package main

import "syscall"

// maxOpenFiles is how many files this process may have open; 0 is not known.
// The Go runtime has raised it as far as the hard limit lets it.
func maxOpenFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}

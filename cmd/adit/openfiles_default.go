//go:build !unix

package main

// maxOpenFiles is how many files this process may have open; 0 is not known.
func maxOpenFiles() uint64 { return 0 }

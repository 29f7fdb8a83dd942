//go:build unix

package files

import "syscall"

// nonblock has a pipe opened that nobody writes to.
const nonblock = syscall.O_NONBLOCK

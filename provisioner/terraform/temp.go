package terraform

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	// maxSocketPath is how long the path of a unix socket may be: 107 bytes on
	// Linux, 103 on macOS.
	maxSocketPath = 103

	// socketName is as long as what providers call the socket that they listen on
	// in the directory for temporary files.
	socketName = "/plugin0123456789"
)

// shortPath returns a path of a directory that is short enough for providers'
// sockets in it: its own or, in a directory of ours for temporary files, a link to
// it, which the returned function removes.
func shortPath(dir string) (path string, remove func(), err error) {
	if fits(dir) {
		return dir, func() {}, nil
	}
	// Others can write where it is made, and not into it.
	links, err := os.MkdirTemp("", "adit-")
	if err != nil {
		return "", nil, fmt.Errorf("terraform: %w", err)
	}
	remove = func() { _ = os.RemoveAll(links) } // temporary it is in any case
	path = filepath.Join(links, "tmp")
	if err := os.Symlink(dir, path); err != nil {
		remove()
		return "", nil, fmt.Errorf("terraform: %w", err)
	}
	if !fits(path) {
		remove()
		return "", nil, fmt.Errorf("terraform: no provider can listen on a socket in %s, nor in %s: their paths are too long; name a shorter directory as TMPDIR", dir, links)
	}
	return path, remove, nil
}

func fits(dir string) bool { return len(dir)+len(socketName) <= maxSocketPath }

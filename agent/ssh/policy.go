package ssh

import (
	"path/filepath"
	"slices"
	"strings"
)

// Policy is what sessions may not do.
type Policy struct {
	// NoFileTransfer refuses SFTP, and the far ends of scp and rsync. A shell can
	// still print a file: who must not take one out must have no shell.
	NoFileTransfer bool
	// NoForwarding refuses ports, sockets, agents and displays, in every direction.
	NoForwarding bool
}

// transfers reports whether a command is the far end of a file transfer, as scp,
// sftp and rsync start it.
func transfers(command string) bool {
	words := strings.Fields(command)
	for len(words) > 0 && (words[0] == "exec" || words[0] == "command" || strings.Contains(words[0], "=")) {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	switch filepath.Base(strings.Trim(words[0], `'"\`)) {
	case "scp":
		return slices.ContainsFunc(words[1:], func(w string) bool { return strings.HasPrefix(w, "-") && strings.ContainsAny(w, "tf") })
	case "rsync":
		return slices.Contains(words[1:], "--server")
	case "sftp-server":
		return true
	}
	return false
}

package health

import (
	"fmt"
	"path/filepath"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// A disk is nearly full when it has less than 10 % and 4 GiB, and full when
	// it has less than 256 MiB: Postgres stops when it cannot write.
	lowShare = 0.10
	lowBytes = 4 << 30
	noBytes  = 256 << 20
)

// Disk checks the room on the disk of the data directory, and on that of the
// private database if it is elsewhere.
func Disk(dir string) []sdk.Finding {
	if dir == "" {
		return nil
	}
	dirs := []string{dir}
	if elsewhere, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil && elsewhere != filepath.Join(dir, "postgres") {
		dirs = append(dirs, elsewhere)
	}
	var list found
	for _, d := range dirs {
		free, total, err := room(d)
		if err != nil {
			continue // what cannot be measured says nothing
		}
		list = append(list, fullness(d, free, total)...)
	}
	return list
}

func fullness(dir string, free, total uint64) found {
	const fix = "make room on it, or move --data-dir to a larger disk"
	evidence := fmt.Sprintf("the disk of %s has %d MiB of %d MiB left", dir, free>>20, total>>20)
	switch {
	case free < noBytes:
		return found{failure(DiskNearlyFull, fix, "%s", evidence)}
	case free < lowBytes && float64(free) < lowShare*float64(total):
		return found{warning(DiskNearlyFull, fix, "%s", evidence)}
	}
	return nil
}

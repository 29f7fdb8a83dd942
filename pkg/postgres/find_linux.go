package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MinVersion is the oldest major version of Postgres that adit runs on.
const MinVersion = 15

var (
	// ErrMissing: the machine has no Postgres binaries.
	ErrMissing = errors.New("no Postgres found in PATH or /usr/lib/postgresql; install one (Debian: apt-get install postgresql) or give --postgres-url")
	// ErrTooOld: the newest Postgres on the machine is older than MinVersion.
	ErrTooOld = fmt.Errorf("too old; Postgres %d or newer is needed", MinVersion)
	// ErrOtherVersion: the cluster was made by a major version that the
	// machine does not have, and no other can read it.
	ErrOtherVersion = errors.New("that version is not installed; install it beside the other")
)

// distributionDirs is where Debian and its descendants keep each version.
const distributionDirs = "/usr/lib/postgresql/*/bin"

// findBinaries returns the directory of the Postgres binaries: those in PATH,
// else the newest that a distribution installed. An upgrade of the machine
// leaves the old version beside the new one, so that what has a cluster keeps
// its version: major, unless that is zero.
func findBinaries(ctx context.Context, major int) (string, error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	installed, err := filepath.Glob(distributionDirs)
	if err != nil {
		return "", fmt.Errorf("look for Postgres: %w", err)
	}
	slices.SortFunc(installed, func(a, b string) int { return majorOfDir(b) - majorOfDir(a) })
	return findIn(ctx, append(dirs, installed...), major)
}

// findIn returns the first of dirs that holds a Postgres of the major version
// wanted; zero is any that is new enough.
func findIn(ctx context.Context, dirs []string, want int) (string, error) {
	failure := ErrMissing
	for _, dir := range dirs {
		if !hasBinaries(dir) {
			continue
		}
		major, err := majorVersion(ctx, filepath.Join(dir, "postgres"))
		if err != nil {
			return "", err
		}
		switch {
		case major < MinVersion:
			if errors.Is(failure, ErrMissing) {
				failure = fmt.Errorf("%s is version %d: %w", dir, major, ErrTooOld)
			}
		case want == 0 || major == want:
			return dir, nil
		default:
			failure = fmt.Errorf("%s is version %d, but the database was made by %d: %w", dir, major, want, ErrOtherVersion)
		}
	}
	return "", failure
}

func hasBinaries(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

func majorOfDir(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // 0 sorts last
	return n
}

// majorVersion asks a binary: "postgres (PostgreSQL) 15.18 (Debian …)".
func majorVersion(ctx context.Context, binary string) (int, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("run %s --version: %w", binary, err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return 0, fmt.Errorf("%s --version says %q", binary, out)
	}
	digits := strings.IndexFunc(fields[2]+".", func(r rune) bool { return r < '0' || r > '9' }) // "15.18", "19beta1"
	major, err := strconv.Atoi(fields[2][:digits])
	if err != nil {
		return 0, fmt.Errorf("%s --version says %q", binary, out)
	}
	return major, nil
}

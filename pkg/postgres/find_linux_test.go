package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// fakeBinaries makes a directory of binaries that say they are of a version.
func fakeBinaries(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindIn(t *testing.T) {
	v13, v15 := fakeBinaries(t, "13.4 (Debian 13.4-1)"), fakeBinaries(t, "15.18 (Debian 15.18-0+deb12u1)")
	v17, beta := fakeBinaries(t, "17.2"), fakeBinaries(t, "19beta1")
	for _, c := range []struct {
		name    string
		dirs    []string
		cluster int // what made it; 0: none yet
		want    string
		err     error
	}{
		{name: "nothing installed", err: ErrMissing},
		{name: "only too old", dirs: []string{v13}, err: ErrTooOld},
		{name: "old in PATH, new beside it", dirs: []string{v13, v17, v15}, want: v17},
		{name: "a beta", dirs: []string{beta}, want: beta},
		{name: "machine upgraded, old version kept", dirs: []string{v17, v15}, cluster: 15, want: v15},
		{name: "machine upgraded, old version gone", dirs: []string{v17, v13}, cluster: 15, err: ErrOtherVersion},
		{name: "all versions gone", cluster: 15, err: ErrMissing},
		{name: "half an installation", dirs: []string{t.TempDir()}, err: ErrMissing},
	} {
		if got, err := findIn(t.Context(), c.dirs, c.cluster); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func TestBinaryThatSaysNothingUsefulIsNamed(t *testing.T) {
	dir := fakeBinaries(t, "from the future")
	if _, err := findIn(t.Context(), []string{dir}, 0); err == nil {
		t.Error("no error")
	}
}

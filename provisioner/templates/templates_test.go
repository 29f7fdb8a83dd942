package templates

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWriteOverwritesNothing(t *testing.T) {
	if !slices.Contains(Names(), "process") {
		t.Fatalf("templates %v, want process among them", Names())
	}
	dir := filepath.Join(t.TempDir(), "new", "process")
	if err := Write("process", dir); err != nil {
		t.Fatal(err)
	}
	mine := []byte("# mine\n")
	file := filepath.Join(dir, "main.tf")
	if err := os.WriteFile(file, mine, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write("process", dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing over a file: %v, want fs.ErrExist", err)
	}
	if got, _ := os.ReadFile(file); string(got) != string(mine) {
		t.Errorf("%s was overwritten", file)
	}
	for _, name := range []string{"none", "..", "", "process/main.tf"} {
		if err := Write(name, t.TempDir()); err == nil {
			t.Errorf("template %q was written", name)
		}
	}
}

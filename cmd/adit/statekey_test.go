package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Rotated twice before the server is started again, and nothing is lost.
func TestStateKeyIsRotated(t *testing.T) {
	d := deployWithTemplate(t, "disk", `resource "terraform_data" "disk" {}`)
	file := filepath.Join(d.dir, "data", "state.key")
	d.must("create", "dev", "--template", "disk")
	state, old := d.must("state", "pull", "dev"), read(t, file)

	for range 2 {
		d.must("server", "rotate-state-key", "--data-dir", filepath.Join(d.dir, "data"))
	}
	if keys := read(t, file); strings.Count(keys, "\n") != 3 || !strings.HasSuffix(keys, old) {
		t.Errorf("%d keys, want two new ones before the old one", strings.Count(keys, "\n"))
	}
	d.serverProc.stop()
	d.startServer()
	if keys := read(t, file); strings.Count(keys, "\n") != 1 || keys == old {
		t.Errorf("%d keys after the start, want a new one alone", strings.Count(keys, "\n"))
	}
	if now := d.must("state", "pull", "dev"); now != state {
		t.Errorf("the state is\n%s\nand was\n%s", now, state)
	}
	_, err := d.adit("server", "rotate-state-key", "--state-key-file", filepath.Join(d.dir, "none"))
	if err == nil || !strings.Contains(err.Error(), "none: no such file") || strings.Count(err.Error(), "\n") > 1 {
		t.Errorf("without a file: %v", err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

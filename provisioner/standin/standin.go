// Package standin builds a program that tests start in place of adit. It is as
// small as can be and, unlike a test binary, never instrumented: Terraform starts
// providers several times a build, and with the race detector each start takes as
// long as the build.
package standin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	// ProvisionerCommand runs a provisioner: its arguments are the coordinator's
	// URL and a directory.
	ProvisionerCommand = "provisioner"

	// Token is what that provisioner shows, Slots how many jobs it takes at once,
	// and Grace how long its Terraform may take to end.
	Token = "good"
	Slots = 8
	Grace = 2 * time.Second
)

// dir is the program's, no other process's.
func dir() string { return filepath.Join(os.TempDir(), fmt.Sprintf("adit-standin-%d", os.Getpid())) }

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(dir(), "adit")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "github.com/aditmesh/adit/provisioner/standin/adit")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("standin: %w\n%s", err, out)
	}
	return path, nil
})

// Path returns the program's path. It is built once a process.
func Path(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Run runs tests as [testing.M.Run] does, and removes the program.
func Run(m *testing.M) int {
	defer os.RemoveAll(dir())
	return m.Run()
}

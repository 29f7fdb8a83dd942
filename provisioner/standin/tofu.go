package standin

import (
	"os"
	"os/exec"
	"testing"
)

// OpenTofu returns the path of a tofu. A test that needs one skips where there is none.
func OpenTofu(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("ADIT_TEST_TOFU"); path != "" {
		return path
	}
	path, err := exec.LookPath("tofu")
	if err != nil {
		t.Skip("there is no OpenTofu: put a tofu on PATH, or name one by ADIT_TEST_TOFU")
	}
	return path
}

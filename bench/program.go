package bench

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// start starts somebody else's program on a host and returns its process id. It
// ends with the test, and is heard if that has failed.
func start(t testing.TB, h *netlab.Host, env []string, program string, args ...string) (pid int) {
	t.Helper()
	cmd := h.Command(context.Background(), program, args...)
	dir := tempDir(t)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may be gone
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			text := said.String()
			t.Logf("%s:\n%s", program, text[max(0, len(text)-3000):])
		}
	})
	return cmd.Process.Pid
}

// tempDir is a directory that programs of any user may pass through.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adit-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

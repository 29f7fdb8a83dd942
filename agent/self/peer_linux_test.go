package self

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

const socketOfTest = "ADIT_TEST_SOCKET"

// A program of another user is refused though it may open the socket.
func TestAnotherUsersProgramIsRefused(t *testing.T) {
	if path := os.Getenv(socketOfTest); path != "" { // as that program
		_, err := NewClient(path).Env(t.Context())
		var refused *sdk.Error
		if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
			t.Errorf("got %v, want that it is forbidden", err)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	s := open(t, &agent{}, os.Getuid())
	defer s.Close()
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.Path()): 0o755, s.Path(): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "TestAnotherUsersProgramIsRefused")
	cmd.Env, cmd.Dir = []string{socketOfTest + "=" + s.Path()}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

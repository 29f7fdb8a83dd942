// Package podmanlab runs a real Podman for tests, with images that they make. All
// it has is in a directory of its own and goes with the test.
package podmanlab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readyTimeout is how long Podman may take to answer, which it does some time after it
// listens: the first time on a machine, its program is read from the disk.
const readyTimeout = 30 * time.Second

// busyboxPath is a static one, of which images are made.
const busyboxPath = "/bin/busybox"

// Lab is a Podman.
type Lab struct {
	t   testing.TB
	dir string
}

// Start starts Podman with start, nil for that of exec.Cmd, and stops it when the
// test ends. It skips the test where that cannot be done.
func Start(t testing.TB, start func(*exec.Cmd) error) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("Podman is run as root")
	}
	for _, program := range []string{"podman", "buildah", "runc", busyboxPath} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("there is no Podman to test with: ", err)
		}
	}
	// A socket's path must be short, and tests have long names.
	dir, err := os.MkdirTemp("", "adit-podman-")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, dir: dir}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// Podman's own choice of a runtime does not work with cgroups of two versions.
	service := exec.Command("podman", l.args("--runtime", "runc", "--cgroup-manager", "cgroupfs",
		"system", "service", "--time", "0", l.Address())...)
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(service); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.run("podman", l.args("--runtime", "runc", "rm", "--all", "--force", "--time", "0")...)
		service.Process.Kill()
		service.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	for {
		err := l.answers(ctx)
		if err == nil {
			return l
		}
		select {
		case <-ctx.Done():
			t.Fatalf("Podman does not answer: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answers asks Podman for a sign of life.
func (l *Lab) answers(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(l.Address(), "unix://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("podman: %s", answer.Status)
	}
	return nil
}

// Address is where it listens.
func (l *Lab) Address() string { return "unix://" + filepath.Join(l.dir, "socket") }

// args begins a command line with where all is kept.
func (l *Lab) args(more ...string) []string {
	return append([]string{"--root", filepath.Join(l.dir, "graph"), "--runroot", filepath.Join(l.dir, "run"), "--storage-driver", "vfs"}, more...)
}

func (l *Lab) run(program string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		l.t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Podman runs a command of Podman and returns what it says.
func (l *Lab) Podman(args ...string) string {
	l.t.Helper()
	return l.run("podman", l.args(args...)...)
}

// Image makes an image from scratch, with busybox under these names in /bin, and
// returns its name.
func (l *Lab) Image(name string, programs ...string) string {
	l.t.Helper()
	from := l.run("buildah", l.args("from", "scratch")...)
	root := l.run("buildah", l.args("mount", from)...)
	for _, dir := range []string{"bin", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(busyboxPath)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin", "busybox"), binary, 0o755); err != nil {
		l.t.Fatal(err)
	}
	for _, p := range programs {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", p)); err != nil {
			l.t.Fatal(err)
		}
	}
	name = "localhost/" + name
	l.run("buildah", l.args("commit", "--quiet", from, name)...)
	l.run("buildah", l.args("rm", from)...)
	return name
}

// Package podmanlab runs a real Podman for tests, with images that they make. All
// it has is in a directory of its own and goes with the test.
package podmanlab

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
		l.waitForAll()
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

// waitForAll waits until nothing of Podman's runs: of each container that ended, conmon has
// another Podman clear up, which writes to what is to be removed.
func (l *Lab) waitForAll() {
	for deadline := time.Now().Add(readyTimeout); l.runs(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Errorf("processes of Podman that was run in %s do not end", l.dir)
			return
		}
	}
}

// runs reports whether a process of Podman's runs, by the directory that its command line names.
func (l *Lab) runs() bool {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		l.t.Error(err)
	}
	return slices.ContainsFunc(lines, func(path string) bool {
		line, err := os.ReadFile(path)
		return err == nil && bytes.Contains(line, []byte(l.dir+"/")) // it may have ended
	})
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

package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startBinary starts the built binary as a server that listens at addr, and
// returns its lines.
func startBinary(t *testing.T, addr string, args ...string) (*exec.Cmd, chan string) {
	t.Helper()
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "adit-operations-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	cmd := exec.Command(bin, append([]string{"server", "--listen", addr, "--data-dir", dir, "--stun-ports", "0", "--provisioners", "0"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	lines := make(chan string, maxLines)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill() // it may be gone
			_ = cmd.Wait()
		}
		w.Close()
		os.RemoveAll(dir)
	})
	return cmd, lines
}

func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestPrivatePortsAndAnEndThatIsForced(t *testing.T) {
	addr, metrics, debug := freeAddr(t), freeAddr(t), freeAddr(t)
	cmd, lines := startBinary(t, addr, "--metrics-listen", metrics, "--debug-listen", debug, "--log-format", "json", "--drain-delay", "1h")
	until := func(text string) {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("it ended before it said %q", text)
				}
				if strings.Contains(line, text) {
					return
				}
				if !strings.HasPrefix(line, "{") && !strings.HasPrefix(line, "adit server ready") {
					t.Errorf("a line that is no JSON: %s", line)
				}
			case <-timeout:
				t.Fatalf("it did not say %q", text)
			}
		}
	}
	until("adit server ready")
	for url, want := range map[string]struct {
		status int
		says   string
	}{
		"http://" + metrics + "/metrics":                     {200, "adit_relay_clients 0"},
		"http://" + metrics + "/debug/pprof/":                {404, ""},
		"http://" + debug + "/debug/pprof/goroutine?debug=1": {200, "goroutine profile"},
		"http://" + addr + "/metrics":                        {404, ""},
		"http://" + addr + "/debug/pprof/":                   {404, ""},
		"http://" + addr + "/readyz":                         {200, "ready"},
	} {
		if status, text := ask(t, url); status != want.status || !strings.Contains(text, want.says) {
			t.Errorf("%s: %d %.200s, want %d and %q", url, status, text, want.status, want.says)
		}
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C { // nothing announces it
		if status, text := ask(t, "http://"+addr+"/readyz"); status == 503 && strings.Contains(text, "draining") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not say that it drains")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("it ended with %v, want by the signal", err)
		}
	case <-time.After(patience):
		t.Fatal("a second signal does not end it")
	}
}

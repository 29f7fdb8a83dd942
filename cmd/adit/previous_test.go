package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// previousRelease is what has to work with this server: the last that knew one version
// of the protocol and chose none.
const previousRelease = "dc07227983ce592e2eb3a898a9bb296077ba8ea6"

// buildPrevious builds the binary of the previous release in a directory.
func buildPrevious(t *testing.T, dir string) string {
	t.Helper()
	if out, err := exec.Command("git", "cat-file", "-e", previousRelease+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the previous release is not in this checkout: %s", out)
	}
	src := t.TempDir()
	archive := exec.Command("git", "archive", previousRelease)
	archive.Dir = filepath.Join("..", "..")
	unpack := exec.Command("tar", "-x", "-C", src)
	var err error
	if unpack.Stdin, err = archive.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := unpack.Start(); err != nil {
		t.Fatal(err)
	}
	if err := archive.Run(); err != nil {
		t.Fatal(err)
	}
	if err := unpack.Wait(); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "adit-before")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "./cmd/adit")
	build.Dir, build.Env = src, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "dial tcp") || strings.Contains(string(out), "lookup disabled") {
			t.Skipf("modules of the previous release are not here: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// The agent of the previous release does with this server and this client all that it
// did, and its client does with this agent.
func TestThePreviousRelease(t *testing.T) {
	d := deploy(t, netlab.NoNAT, netlab.NoNAT)
	before := buildPrevious(t, d.dir)
	previous := func(args ...string) (string, error) {
		return d.output(d.laptop, d.program(d.laptop, before, args...))
	}
	if out, err := previous("ssh", "dev", "--", "echo client; exit 3"); out != "client\n" || err == nil {
		t.Errorf("its client with this agent: %q, %v", out, err)
	}

	d.agentProc.stop()
	agent := d.devbox.Command(t.Context(), before, "agent", "--url", d.url(), "--token", d.agentToken, "-v")
	agent.Env, agent.Dir = d.env(), d.dir
	d.agentProc = d.run(d.devbox, "previous-agent.log", agent)
	d.agentProc.waitFor("agent ready")
	d.agentIs("connected")
	for name, run := range map[string]func(args ...string) (string, error){"this": d.adit, "its": previous} {
		out, err := run("ssh", "dev", "--", "echo agent; exit 3")
		if out != "agent\n" || err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("its agent with %s client: %q, %v", name, out, err)
		}
		if out, err := run("ping", "dev", "-c", "1"); err != nil {
			t.Errorf("ping of its agent by %s client: %q, %v", name, out, err)
		}
	}
	file := filepath.Join(d.dir, "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("cp", file, "dev:"+file+"-there")
	if got, err := os.ReadFile(file + "-there"); err != nil || string(got) != "content" {
		t.Errorf("copied: %q, %v", got, err)
	}
	var web net.Listener
	if err := d.devbox.Do(func() (err error) {
		web, err = net.Listen("tcp", "127.0.0.1:8000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	d.eventually("a port that it sees", func() bool {
		var list []sdk.Port
		d.json(&list, "ports", "dev", "-o", "json")
		return slices.ContainsFunc(list, func(p sdk.Port) bool { return p.Port == 8000 })
	})
	if _, err := d.adit("agent", "update", "dev"); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Errorf("what it does not know: %v", err)
	}
}

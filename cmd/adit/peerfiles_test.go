package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

// Files come to a page and go to the workspace peer to peer, and by the coordinator where
// UDP is blocked; every byte of them.
func TestFilesPeerToPeer(t *testing.T) {
	if _, err := os.Stat(web + "/node_modules"); err != nil {
		t.Skip("the dashboard is not built; make dashboard does it")
	}
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	p := d.page(t)
	there, here := filepath.Join(d.dir, "there"), filepath.Join(d.dir, "here")
	for _, dir := range []string{there, here} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	large := random(t, filepath.Join(there, "large.bin"), 20<<20)
	own := random(t, filepath.Join(here, "own.bin"), 20<<20)

	p.does("files " + d.url() + "/workspaces/alice/dev/files?path=" + there)
	atServer := d.server.Capture()
	digest, said, _ := strings.Cut(p.does("brings large.bin"), " ")
	t.Log(said)
	if digest != large || !strings.Contains(said, "peer to peer") {
		t.Errorf("brought %s, want %s: %s", digest, large, said)
	}
	said = p.does("sends " + filepath.Join(here, "own.bin"))
	t.Log(said)
	if got := digestOf(t, filepath.Join(there, "own.bin")); got != own || !strings.Contains(said, "peer to peer") {
		t.Errorf("sent %s, want %s: %s", got, own, said)
	}
	passed := 0
	for _, s := range atServer.Stop() {
		passed += s.Bytes
	}
	if passed > 2<<20 {
		t.Errorf("%d bytes of 40 MB passed the server", passed)
	}

	d.home.Fault(netlab.BlockUDP())
	p.does("files " + d.url() + "/workspaces/alice/dev/files?path=" + there)
	if err := os.Remove(filepath.Join(there, "own.bin")); err != nil {
		t.Fatal(err)
	}
	digest, said, _ = strings.Cut(p.does("brings large.bin"), " ")
	t.Log(said)
	if digest != large || !strings.Contains(said, "through the coordinator") {
		t.Errorf("brought %s, want %s: %s", digest, large, said)
	}
	said = p.does("sends " + filepath.Join(here, "own.bin"))
	t.Log(said)
	if got := digestOf(t, filepath.Join(there, "own.bin")); got != own || !strings.Contains(said, "through the coordinator") {
		t.Errorf("sent %s, want %s: %s", got, own, said)
	}
}

// random makes a file of so many bytes, and returns its digest.
func random(t *testing.T, name string, size int) string {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.Read(b) // which never fails
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return digestOf(t, name)
}

func digestOf(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// Files come to a page and go to the workspace peer to peer, and by the coordinator where
// UDP is blocked; every byte of them. So does what a port shows.
func TestFilesAndPreviewsPeerToPeer(t *testing.T) {
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
	p.does("way Peer to peer, direct") // until there is one, bytes go over the relay
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

	d.shows(d.devbox, "8080")
	port := d.url() + "/workspaces/alice/dev/preview?port=8080"
	p.previews(port, "peer to peer")
	if second := p.does("follows On"); !strings.Contains(second, "Second page") {
		t.Errorf("the link leads to %s", second)
	}
	if list := p.does("complaints"); list != "[]" {
		t.Errorf("the console has %s", list)
	}
	d.eventually("that the port was opened in the audit log", func() bool { return d.opened("8080") })

	d.home.Fault(netlab.BlockUDP())
	p.previews(port, "through the coordinator")
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

	d.eventually("the history of what was moved", func() bool {
		var list []sdk.SSHSession
		d.json(&list, "sessions", "dev", "--history", "-o", "json")
		moved := func(path string, from, to int64) bool {
			return slices.ContainsFunc(list, func(s sdk.SSHSession) bool {
				return s.Kind == "files" && s.User == "alice" && s.Path == path && s.EndedAt != nil && s.RxBytes >= from && s.TxBytes >= to
			})
		}
		return moved("webrtc", 0, 20<<20) && moved("webrtc", 20<<20, 0) && moved("direct", 0, 20<<20) && moved("direct", 20<<20, 0)
	})

	d.policy("rules:\n- {from: [alice], to: [me/*], ports: ['tcp:22']}\n")
	p.does("goes " + d.url() + "/workspaces/alice/dev/files?path=" + there)
	p.does("refused The deployment's policy does not let you reach the files of this workspace")
	p.does("goes " + port)
	p.does("refused The deployment's policy does not let you reach this port of the workspace")
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

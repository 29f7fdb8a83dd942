package bench

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

// lab is the network that everything is measured on:
//
//	          ┌──────── internet ────────┬───────┬──────┐
//	          │        │        │        │       │      │
//	left ── router   right   server   derper   home   office   hard
//	                                             │      │        │
//	                                          laptop  devbox  traveller
type lab struct {
	*netlab.Lab
	router                    *netlab.Router
	left, right               *netlab.Host
	laptop, devbox, traveller *netlab.Host
	ends                      string // the program
	server                    *aditServer
	tailnet                   *tailnet // nil until needed
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{Lab: netlab.New(t), ends: build(t, ".", "./ends")}
	server := l.Host("server")
	l.right = l.Host("right")
	l.router = l.Router("router", netlab.NoNAT)
	l.left = l.router.Host("left")
	l.laptop = l.Router("home", netlab.PortRestricted).Host("laptop")
	l.devbox = l.Router("office", netlab.PortRestricted).Host("devbox")
	l.traveller = l.Router("hard", netlab.Hard).Host("traveller")
	for _, h := range []*netlab.Host{server, l.left, l.right, l.laptop, l.devbox, l.traveller} {
		h.IPv4Only() // the same headers for everybody, and no way around a NAT
	}
	l.server = startServer(t, server, build(t, "..", "./cmd/adit"))
	return l
}

// near are two hosts with nothing but a router between them.
func (l *lab) near() [2]*netlab.Host { return [2]*netlab.Host{l.left, l.right} }

// build builds a program in the module at dir.
func build(t testing.TB, dir, pkg string) string {
	t.Helper()
	out, err := os.MkdirTemp("", "adit-bench-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(out) })
	cmd := exec.Command("go", "build", "-o", out+"/", pkg)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v: %s", pkg, err, said)
	}
	return filepath.Join(out, path.Base(pkg))
}

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Connections outlive the daemon that they go through, whether it is killed or one of
// another version takes its place, over IPv6 and IPv4, and whichever end speaks next. They
// end with one that ends by itself, and nothing of it stays.
func TestConnectionsOutliveTheDaemon(t *testing.T) {
	built := make(chan error, 1)
	bin := filepath.Join(t.TempDir(), "adit")
	go func() {
		build := exec.Command("go", "build", "-ldflags", "-X main.version=next", "-o", bin, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		built <- err
	}()
	v := deployVPN(t)
	v.echoes(v.devbox, "9000")
	speaks := v.speaker("9001")
	v.start()
	was := v.status().Self.Address
	six, four := v.open("six.log", "nc", "dev.adit", "9000"), v.open("four.log", "nc", "-4", "dev.adit", "9000")
	six.echo("before")
	four.echo("before")
	silent := v.open("silent.log", "nc", "-4", "dev.adit", "9001")
	end := silent.hears(speaks)
	goOn := func(when string) {
		t.Helper()
		if now := v.status().Self.Address; now != was {
			t.Fatalf("%s the laptop is at %v, and was at %v", when, now, was)
		}
		if _, err := io.WriteString(end, when+"\n"); err != nil {
			t.Fatal(err)
		}
		silent.waitFor(when)
		six.echo(when)
		four.echo(when)
	}
	v.up.kill()
	v.start()
	goOn("after it was killed")

	if err := <-built; err != nil {
		t.Fatal(err)
	}
	before, current := v.up, v.bin
	v.bin = bin
	v.start()
	v.bin = current
	if err := before.wait(); err != nil {
		t.Errorf("the one before ended with %v", err)
	}
	if s := v.status(); s.Version != "next" {
		t.Errorf("version %s is up", s.Version)
	}
	goOn("after another took its place")

	v.must(v.bin, "down")
	if left, _ := filepath.Glob(filepath.Join(v.dir, "up.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// speaker listens on a port of the devbox's localhost, tells all that it accepts which of
// them they are, and gives them out. The agent is one of them: it asks what is spoken there.
func (v *vpn) speaker(port string) <-chan net.Conn {
	v.t.Helper()
	var l net.Listener
	if err := v.devbox.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:"+port)
		return err
	}); err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { l.Close() })
	conns := make(chan net.Conn, 16)
	go func() {
		defer close(conns)
		for i := range cap(conns) {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "connection %d\n", i) // it may be gone
			conns <- conn
		}
	}()
	return conns
}

// hears returns the other end of a program's connection to a speaker.
func (p *program) hears(conns <-chan net.Conn) net.Conn {
	p.t.Helper()
	which := -1
	p.waitLine("which connection it is", func(line string) bool {
		_, err := fmt.Sscanf(line, "connection %d", &which)
		return err == nil
	})
	for i := 0; ; i++ {
		conn := <-conns
		if i == which {
			return conn
		}
		conn.Close()
	}
}

package ssh

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aditmesh/adit/agent/stats"
)

func TestSessionsAreCountedByWhatGoesThroughThem(t *testing.T) {
	var tally stats.Tally
	s := serveWith(t, Config{Tally: &tally})

	if out, errs, code := s.run("", "echo some output; echo more >&2"); code != 0 {
		t.Fatal(out, errs, code)
	}
	c := tally.Count()
	if c.Most[stats.SSH] != 1 || c.Rx != 0 || c.Tx != uint64(len("some output\nmore\n")) || c.Active {
		t.Errorf("a command that nobody says anything to: %+v", c)
	}
	if _, errs, code := s.run("typed\n", "cat >/dev/null"); code != 0 {
		t.Fatal(errs, code)
	}
	if c := tally.Count(); c.Rx != uint64(len("typed\n")) || !c.Active {
		t.Errorf("a command with input: %+v", c)
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	scp := exec.CommandContext(t.Context(), "scp", s.options("-P", s.port, file, "127.0.0.1:file")...)
	if out, err := scp.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if c := tally.Count(); c.Most[stats.SFTP] != 1 || c.Most[stats.SSH] != 0 || c.Rx < 100_000 || !c.Active {
		t.Errorf("a file: %+v", c)
	}

	// The server's own port, through the server: what comes is its version.
	hop := s.ssh()
	hop.Args = append([]string{"ssh", "-W", "127.0.0.1:" + s.port}, hop.Args[1:]...)
	in, err := hop.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := hop.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hop.Start(); err != nil {
		t.Fatal(err)
	}
	version := make([]byte, len("SSH-2.0-adit"))
	if _, err := out.Read(version); err != nil || string(version) != "SSH-2.0-adit" {
		t.Errorf("read %q, %v", version, err)
	}
	in.Close()
	if err := hop.Wait(); err != nil {
		t.Log(err) // the server ends what is no client
	}
	if c := tally.Count(); c.Most[stats.Forward] != 1 || c.Most[stats.SSH] != 0 || c.Tx < uint64(len(version)) || !c.Active {
		t.Errorf("a forwarded connection: %+v", c)
	}

	// A port of this machine, lent to the other end: what comes from there is an
	// answer.
	answers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	serveEach(answers, func(c net.Conn) { io.WriteString(c, "answer\n") })
	lent := freePort(t)
	ask := "exec 3<>/dev/tcp/127.0.0.1/" + lent + "; cat <&3"
	back := s.ssh("bash", "-c", "'"+ask+"'")
	back.Args = append([]string{"ssh", "-R", lent + ":" + answers.Addr().String()}, back.Args[1:]...)
	if out, err := back.Output(); err != nil || string(out) != "answer\n" {
		t.Fatalf("through -R came %q, %v", out, err)
	}
	if c := tally.Count(); c.Most[stats.Forward] != 1 || c.Rx != uint64(len("answer\n")) || c.Active {
		t.Errorf("a connection the other way: %+v", c)
	}
	if c := tally.Count(); c.Most != (stats.Count{}).Most {
		t.Errorf("sessions that ended are still open: %+v", c)
	}
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

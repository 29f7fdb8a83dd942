package ssh

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sftp runs a batch of OpenSSH's sftp.
func (s *served) sftp(batch string) (string, error) {
	s.t.Helper()
	if _, err := exec.LookPath("sftp"); err != nil {
		s.t.Skip("no sftp on this machine")
	}
	cmd := exec.Command("sftp", s.options("-b", "-", "-P", s.port, "127.0.0.1")...)
	cmd.Stdin = strings.NewReader(batch)
	// Two pipes: the ssh that sftp runs makes its stderr non-blocking, and if that were
	// sftp's stdout too, sftp would lose lines whenever the pipe is full.
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	return out.String() + complaints.String(), err
}

// Names begin at home, and a link says what the client has it say, as with sshd.
func TestSFTPBeginsAtHomeAndMakesLinksAsTheyAreMeant(t *testing.T) {
	s := serve(t)
	if out, err := s.sftp("pwd\nmkdir d\nln -s b a\nln -s ../b d/up\nln -s /etc/hosts whole\n"); err != nil || !strings.Contains(out, "directory: "+s.home) {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{"a": "b", "d/up": "../b", "whole": "/etc/hosts"} {
		if got, err := os.Readlink(filepath.Join(s.home, name)); err != nil || got != want {
			t.Errorf("%s leads to %q, %v, want %q", name, got, err, want)
		}
	}
}

// Its process ends with the client, whatever that was about to ask.
func TestSFTPEndsWithItsClient(t *testing.T) {
	s := serve(t)
	client := s.dial()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Fatal(err)
	}
	client.Close() // and when the test ends, the server waits for its processes
}

func TestSFTPThatCannotBeStartedIsAClearError(t *testing.T) {
	s := serveWith(t, Config{})
	s.server.cfg.FileServer = []string{"/no/such/server"}
	if out, err := s.sftp("pwd\n"); err == nil || !strings.Contains(out, "/no/such/server") {
		t.Errorf("%v: %s", err, out)
	}
}

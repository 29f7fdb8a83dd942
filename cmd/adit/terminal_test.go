package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"

	agentssh "github.com/aditmesh/adit/agent/ssh"
)

func TestHangingUpIsSaidOnce(t *testing.T) {
	key, err := agentssh.HostKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	srv := agentssh.New(agentssh.Config{
		HostKey: key, Env: os.Environ(), Account: agentssh.Account{Name: "x", Home: t.TempDir(), Shell: "/bin/sh"},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l) // ends with Close
	defer srv.Close()
	client, err := ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{User: "x", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	defer terminal.Close()
	if _, err := keyboard.WriteString("\r~."); err != nil {
		t.Fatal(err)
	}
	hear, say, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hear.Close()
	err = runInteractive(t.Context(), &app{streams: streams{in: terminal, out: io.Discard, err: say}}, client, s, "cat")
	say.Close()
	said, readErr := io.ReadAll(hear)
	var code exitError
	if !errors.As(err, &code) || code != sshLost || string(said) != "\r\nDisconnected.\r\n" || readErr != nil {
		t.Errorf("got %v, said %q (%v)", err, said, readErr)
	}
}

package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aditmesh/adit/agent/ssh"
	"github.com/aditmesh/adit/pkg/netlab"
)

// OpenSSH as config-ssh sets it up: it asks nothing, knows the workspace by the key
// that the coordinator vouches for, and by no other.
func TestOpenSSHKnowsTheWorkspace(t *testing.T) {
	d := deploy(t, netlab.NoNAT, netlab.NoNAT)
	config := filepath.Join(d.dir, "ssh_config")
	d.must("config-ssh", "--ssh-config-file", config)
	run := func(args ...string) (string, error) {
		return d.output(d.laptop, d.program(d.laptop, "ssh", append([]string{"-F", config, "-o", "BatchMode=yes"}, args...)...))
	}
	known := filepath.Join(d.dir, "config", knownHosts)
	if err := os.WriteFile(known, []byte("dev.adit,[dev.adit]:* ssh-ed25519 AAAAold\nother.adit,[other.adit]:* kept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"first", "second"} {
		if out, err := run("dev.adit", "echo "+again); err != nil || out != again+"\n" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	if out, err := run("-p", "2222", "DEV.adit", "echo other port"); err != nil || out != "other port\n" {
		t.Errorf("by another port and in capitals: %q, %v", out, err)
	}
	agent, err := d.agent()
	if err != nil {
		t.Fatal(err)
	}
	want := "other.adit,[other.adit]:* kept\ndev.adit,[dev.adit]:* " + agent.HostKey + "\n"
	if got, err := os.ReadFile(known); err != nil || string(got) != want {
		t.Errorf("known hosts:\n%s%v, want\n%s", got, err, want)
	}

	// Somebody else where the workspace should be.
	key, err := ssh.HostKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	impostor := ssh.New(ssh.Config{HostKey: key, Account: ssh.Account{Name: "x", Home: d.dir, Shell: "/bin/sh"}})
	var l net.Listener
	if err := d.laptop.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- impostor.Serve(l) }()
	defer func() {
		impostor.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if out, err := run("-o", "ProxyCommand=none", "-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=dev.adit", "-p", port, "dev.adit", "echo fooled"); err == nil || !strings.Contains(err.Error(), "verification failed") {
		t.Errorf("an impostor: %q, %v", out, err)
	}
}

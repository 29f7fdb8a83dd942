package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/tunnel"
)

// policy makes a text the policy, from the laptop.
func (d *deployment) policy(text string) {
	d.t.Helper()
	file := filepath.Join(d.dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if out, err := d.adit("policy", "set", file); err != nil {
		d.t.Fatalf("policy set: %s %v", out, err)
	}
}

// listens listens on a port of a host's localhost, until the test ends.
func (d *deployment) listens(h *netlab.Host, port string) (l net.Listener) {
	d.t.Helper()
	if err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:"+port)
		return err
	}); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { l.Close() })
	return l
}

// echoes answers with what it hears, on a port of a host's localhost.
func (d *deployment) echoes(h *netlab.Host, port string) {
	d.t.Helper()
	l := d.listens(h, port)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

// open starts an unmodified program on the laptop that goes on.
func (v *vpn) open(log, name string, args ...string) *program {
	v.t.Helper()
	name, args = v.inside(name, args...)
	cmd := v.laptop.Command(context.Background(), name, args...)
	cmd.Env, cmd.Dir = v.env(), v.dir
	return v.deployment.run(v.laptop, log, cmd)
}

// endsWithin goes on talking to a program, which must end soon.
func (p *program) endsWithin(limit time.Duration) {
	p.t.Helper()
	began := time.Now()
	line := time.NewTicker(50 * time.Millisecond)
	defer line.Stop()
	for time.Since(began) < limit {
		_, _ = io.WriteString(p.stdin, "still there?\n") // it may be gone
		select {
		case err := <-p.done:
			p.done <- err
			p.t.Logf("%v ended after %v: %v", p.cmd.Args, time.Since(began).Round(time.Millisecond), err)
			return
		case <-line.C:
		}
	}
	p.t.Errorf("%v still run after %v", p.cmd.Args, limit)
}

// What the policy admits works, what it forbids is refused at once, and what is open ends
// within a second of the rule that let it in.
func TestThePolicyHoldsForWhatIsOpen(t *testing.T) {
	v := deployVPN(t)
	v.echoes(v.devbox, "9000")
	v.web("8080")
	v.deployment.policy("rules:\n- {from: [alice], to: [me/*], ports: [icmp, 'tcp:22', 'tcp:9000']}\n")
	v.start()
	v.must("ping", "-c", "1", "-W", "20", "dev.adit")
	ssh := slices.Concat(openSSHArgs()[:len(openSSHArgs())-2], []string{"dev.adit"})
	if out := v.must("ssh", append(ssh, "echo reached")...); !strings.Contains(out, "reached") {
		t.Errorf("ssh: %s", out)
	}
	session := v.open("nc.log", "nc", "dev.adit", "9000")
	session.echo("hello")
	shell := v.open("ssh.log", "ssh", append(ssh, "cat")...)
	shell.echo("hello")

	began := time.Now()
	out, err := v.run("nc", "-v", "-w", "20", "dev.adit", "8080")
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Errorf("a forbidden port: %s %v after %v, want a refusal at once", out, err, took)
	}
	v.saysDenied("TCP port 8080")

	v.deployment.policy("rules:\n- {from: [alice], to: [me/*], ports: ['tcp:22']}\n")
	session.endsWithin(5 * time.Second)
	shell.echo("still here")
	if out, err := v.run("ping", "-c", "1", "-W", "5", "dev.adit"); err == nil {
		t.Errorf("ping goes on: %s", out)
	}
	v.saysDenied("ping")

	v.deployment.policy("links: []\n")
	if out := v.must("curl", "-sS", "-m", "10", "http://dev.adit:8080/"); !strings.Contains(out, "served to") {
		t.Errorf("curl without rules: %s", out)
	}
	shell.echo("and on")
}

// saysDenied wants status and ping to say that the last thing was denied.
func (v *vpn) saysDenied(what string) {
	v.t.Helper()
	var s statusReport
	if err := json.Unmarshal([]byte(v.must(v.bin, "status", "-o", "json")), &s); err != nil || len(s.Peers) != 1 {
		v.t.Fatalf("status: %+v %v", s, err)
	}
	if d := s.Peers[0].Verdict; d == nil || d.Code != tunnel.CodeDenied || !strings.Contains(d.Evidence, what) {
		v.t.Errorf("status says %+v, want that %s was denied", d, what)
	}
	if out, _ := v.run(v.bin, "ping", "dev", "-c", "1"); !strings.Contains(out, "denied") {
		v.t.Errorf("ping says %s", out)
	}
}

// Workspaces reach each other by links of the policy, as far as those go, one way and for as
// long as there are any.
func TestLinksLetWorkspacesReachEachOther(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	d.echoes(d.devbox, "5432")
	d.echoes(d.devbox, "8080")
	shop := d.home.Host("shop")
	token := d.create("shop")
	d.start(shop, "shop.log", "agent", "--url", d.urlFor(shop), "--token", token, "-v").waitFor("agent ready")
	as := func(token string) []string {
		return append(d.env(), "ADIT_URL="+d.urlFor(shop), "ADIT_TOKEN="+token, "ADIT_CONFIG_DIR="+filepath.Join(d.dir, "none"))
	}
	in := func(h *netlab.Host, token, name string, args ...string) (string, error) {
		cmd := d.program(h, name, args...)
		cmd.Env = as(token)
		return d.output(h, cmd)
	}
	if out, err := in(shop, token, d.bin, "ping", "dev", "-c", "1"); err == nil || !strings.Contains(err.Error(), "no link of the policy leads there") {
		t.Errorf("without a policy: %s %v", out, err)
	}

	d.policy("links:\n- {from: [alice/shop], to: [alice/dev], ports: [icmp, 'tcp:22', 'tcp:5432']}\n")
	if out, err := in(shop, token, d.bin, "ping", "alice/dev", "-c", "3", "-i", "100ms"); err != nil {
		t.Errorf("ping by a link: %s %v", out, err)
	}
	if out, err := in(shop, token, "ssh", append(openSSHArgs(), "dev.adit", "echo reached")...); err != nil || !strings.Contains(out, "reached") {
		t.Errorf("ssh by a link: %s %v", out, err)
	}
	forward := d.command(shop, "port-forward", "dev", "--tcp", "5432:5432", "--tcp", "8080:8080")
	forward.Env = as(token)
	d.run(shop, "forward.log", forward).waitFor("8080")
	nc := d.program(shop, "nc", "127.0.0.1", "5432")
	session := d.run(shop, "nc.log", nc)
	session.echo("select 1")
	began := time.Now()
	if out, err := in(shop, token, "sh", "-c", "echo hello | nc -w 10 127.0.0.1 8080"); strings.Contains(out, "hello") || time.Since(began) > 5*time.Second {
		t.Errorf("a port that the link has not: %s %v after %v", out, err, time.Since(began))
	}
	if out, err := in(d.devbox, d.agentToken, d.bin, "ping", "shop", "-c", "1"); err == nil || !strings.Contains(err.Error(), "no link of the policy leads there") {
		t.Errorf("the other way: %s %v", out, err)
	}

	d.policy("links: []\n")
	session.endsWithin(5 * time.Second)
	if out, err := in(shop, token, d.bin, "ssh", "dev", "--", "true"); err == nil {
		t.Errorf("without links: %s", out)
	}
}

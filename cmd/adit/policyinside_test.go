package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Programs in a workspace that a template made go where the policy's links lead from it,
// signed in by nobody: their agent has them let in for that, for some minutes, and never
// tells them its own token.
func TestProgramsOfAWorkspaceFollowItsLinks(t *testing.T) {
	d := deployWithTemplate(t, "process", "")
	d.devbox = d.lab.Host("devbox")
	d.agentToken = d.create("dev")
	d.startAgent()
	d.echoes(d.devbox, "5432")
	serveOn(t, d.devbox, "127.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "served to "+r.Host)
	}))
	d.must("create", "shop", "--template", "process")
	t.Cleanup(func() { _, _ = d.adit("delete", "-y", "shop") }) // no process stays, whatever happens
	in := func(script string) (string, error) { return d.adit("ssh", "shop", "--", script) }
	must := func(script string) string {
		t.Helper()
		out, err := in(script)
		if err != nil {
			t.Fatalf("%s: %s %v", script, out, err)
		}
		return out
	}
	if out, err := in(d.bin + " ping dev -c 1"); err == nil || !strings.Contains(err.Error(), "no link of the policy leads there") {
		t.Errorf("without a policy: %s %v", out, err)
	}

	d.policy("links:\n- {from: [alice/shop], to: [alice/dev], ports: [icmp, 'tcp:22', 'tcp:5432', 'tcp:8080']}\n")
	must(d.bin + " ping alice/dev -c 2 -i 100ms")
	if out := must(d.bin + " ssh dev -- echo reached"); out != "reached\n" {
		t.Errorf("ssh by a link: %s", out)
	}
	forward := d.start(d.laptop, "forward.log", "ssh", "shop", "--", d.bin+" port-forward dev --tcp 15432:5432")
	forward.waitFor("Forwarding")
	session := d.run(d.server, "nc.log", d.program(d.server, "nc", "127.0.0.1", "15432"))
	session.echo("select 1")
	if out, err := in(d.bin + " up"); err == nil || !strings.Contains(err.Error(), "adit up --userspace") {
		t.Errorf("an interface: %s %v", out, err)
	}
	up := d.start(d.laptop, "up.log", "ssh", "shop", "--", d.bin+" up --userspace --proxy 127.0.0.1:11080 --socket "+filepath.Join(d.dir, "up.sock"))
	up.waitFor("as far as links of the policy lead")
	for _, name := range []string{"dev.adit", "main.dev.alice.adit"} {
		if out := must("curl -sS -m 30 -x socks5h://127.0.0.1:11080 http://" + name + ":8080/"); out != "served to "+name+":8080" {
			t.Errorf("by the proxy: %s", out)
		}
	}
	if out, err := in("curl -sS -f -m 30 -x socks5h://127.0.0.1:11080 http://shop.adit:8080/"); err == nil {
		t.Errorf("the proxy leads where no link does: %s", out)
	}

	// What they are let in with is good for nothing else, and nothing else is to be had.
	if out, err := in(d.bin + " list"); err == nil || !strings.Contains(err.Error(), "not signed in") {
		t.Errorf("list: %s %v", out, err)
	}
	login := must("curl -sS -X POST --unix-socket $ADIT_SOCKET http://agent/login")
	token := "adit_client_" + strings.SplitN(strings.SplitN(login, "adit_client_", 2)[1], `"`, 2)[0]
	for _, command := range []string{"list", "show dev", "ssh dev -- true", "agent"} {
		out, err := d.output(d.laptop, d.command(d.laptop, append([]string{"--url", d.url(), "--token", token}, strings.Fields(command)...)...))
		if err == nil {
			t.Errorf("adit %s by such a token: %s", command, out)
		}
	}
	if everything := must("env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -a ^adit_agent_ || true") + login; strings.Contains(everything, "adit_agent_") {
		t.Errorf("the agent's token is told: %s", everything)
	}

	d.policy("links: []\n")
	session.endsWithin(5 * time.Second)
	if out, err := in("curl -sS -f -m 30 -x socks5h://127.0.0.1:11080 http://dev.adit:8080/"); err == nil {
		t.Errorf("without links: %s", out)
	}
}

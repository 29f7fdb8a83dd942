package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// A program that binds to localhost in the workspace is seen on the laptop within a
// second, and what it speaks.
func TestPortsAreSeenFromAfar(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	watch := d.start(d.laptop, "ports.log", "ports", "dev", "--watch", "-o", "json")
	until := func(what string, is func([]sdk.Port) bool) time.Time {
		t.Helper()
		watch.waitLine(what, func(line string) bool {
			var list []sdk.Port
			return json.Unmarshal([]byte(line), &list) == nil && is(list)
		})
		return time.Now()
	}
	has := func(process, protocol string) func([]sdk.Port) bool {
		return func(list []sdk.Port) bool {
			return len(list) == 1 && list[0].Port == 8000 && list[0].Process == process && (protocol == "" || list[0].Protocol == protocol) && list[0].Listening
		}
	}
	until("nothing yet", func(list []sdk.Port) bool { return len(list) == 0 })
	web := d.devbox.Command(context.Background(), "python3", "-u", "-m", "http.server", "8000", "--bind", "127.0.0.1")
	web.Dir, web.Env = d.dir, d.env()
	served := d.run(d.devbox, "web.log", web)
	served.waitFor("Serving HTTP")
	began := time.Now()
	took := until("port 8000", has("python3", "")).Sub(began)
	t.Logf("seen after %v", took.Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("seen after %v, want at most a second", took)
	}
	until("that it speaks HTTP", has("python3", "http"))
	// Who comes later, and through the port, sees the same.
	var list []sdk.Port
	d.json(&list, "ports", "dev", "-o", "json")
	if !has("python3", "http")(list) {
		t.Errorf("listed %+v", list)
	}
	forward := d.start(d.laptop, "forward.log", "port-forward", "dev", "--tcp", "9000:8000")
	forward.waitFor("Forwarding")
	if got, err := whisper(d.laptop, "tcp", "127.0.0.1:9000", "GET / HTTP/1.0\r\n\r\n"); err != nil || !strings.HasPrefix(got, "HTTP/1.0 200") {
		t.Errorf("through the port: %.100q, %v", got, err)
	}
	served.kill()
	until("that it is gone", func(list []sdk.Port) bool { return len(list) == 0 })
	// An agent that starts anew tells of what listens when it comes.
	d.agentProc.stop()
	d.agentIs("disconnected")
	web = d.devbox.Command(context.Background(), "python3", "-u", "-m", "http.server", "8000", "--bind", "::1")
	web.Dir, web.Env = d.dir, d.env()
	d.run(d.devbox, "web.log", web).waitFor("Serving HTTP")
	d.startAgent()
	until("port 8000 again", has("python3", "http"))
}

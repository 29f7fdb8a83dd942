package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aditmesh/adit/tunnel/daemon"
)

// A daemon is its user's: other users of the machine learn nothing from it, though they
// reach its socket, and cannot end it.
func TestADaemonAnswersItsUserAlone(t *testing.T) {
	v := deployVPN(t)
	v.start()
	asNobody := func(args ...string) (string, error) {
		return v.run("setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket", v.socket()}, args...)...)
	}
	if out, err := asNobody("http://adit/v1/status"); err == nil {
		t.Errorf("the socket lets others in: %s", out)
	}
	if err := os.Chmod(v.socket(), 0o666); err != nil { // as where sockets have no modes
		t.Fatal(err)
	}
	for _, ask := range [][]string{{"http://adit/v1/status"}, {"-X", "POST", "http://adit/v1/down"}, {"http://adit/v1/events"}} {
		out, err := asNobody(ask...)
		if err != nil || !strings.Contains(out, "the daemon is another user's") || strings.Contains(out, "alice") {
			t.Errorf("nobody's %v: %s %v", ask, out, err)
		}
	}
	if s := v.status(); s.State != daemon.StateUp { // as root
		t.Errorf("it is %s", s.State)
	}
}

// Whoever listens hears of names that come and go, and of tunnels.
func TestADaemonTellsWhatHappens(t *testing.T) {
	v := deployVPN(t)
	v.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", v.socket())
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://adit/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := program.Do(req) // it listens from here on
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	hears := func(what string, is func(daemon.Event) bool) {
		t.Helper()
		for {
			var e daemon.Event
			if err := lines.Decode(&e); err != nil {
				t.Fatalf("%s is not told: %v", what, err)
			}
			if is(e) {
				return
			}
		}
	}
	v.create("api")
	hears("a name that came", func(e daemon.Event) bool { return e.Kind == daemon.EventNames && e.Count == 2 })
	v.must("ping", "-c", "1", "-W", "20", "dev.adit")
	hears("a tunnel", func(e daemon.Event) bool {
		return e.Kind == daemon.EventOpened && e.Peer == "main.dev.alice" && !e.At.IsZero()
	})
	if out, err := v.run("ping", "-c", "1", "-W", "20", "api.adit"); err == nil {
		t.Errorf("an agent that never was answers: %s", out)
	}
	hears("a tunnel that is not to be had", func(e daemon.Event) bool {
		return e.Kind == daemon.EventFailed && e.Peer == "main.api.alice" && e.Error != ""
	})
	v.must(v.bin, "down")
	var more daemon.Event
	for err = nil; err == nil; err = lines.Decode(&more) {
	}
	if ctx.Err() != nil {
		t.Errorf("the stream does not end with the daemon: %v", err)
	}
}

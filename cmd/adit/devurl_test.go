package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// devURLs is a workspace's port behind its dev URL and behind nginx, which both run on
// the server: the first goes by a tunnel, the other by the bare link.
type devURLs struct {
	*deployment
	cookie string
}

const besideHost = "18400--main--dev--alice.apps.test:7080"

func deployBesideNginx(t *testing.T) devURLs {
	d := newDeployment(t, "--wildcard-url", "http://*.apps.test:7080")
	d.laptop, d.devbox = d.lab.Host("laptop"), d.lab.Host("devbox")
	d.up()
	var l net.Listener
	if err := d.devbox.Do(func() (err error) {
		l, err = net.Listen("tcp", "0.0.0.0:18400")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello\n") // the visitor left
	})}
	go func() { _ = web.Serve(l) }() // ends with Close
	t.Cleanup(func() { web.Close() })
	d.nginx(d.server, netip.AddrPortFrom(d.devbox.Addr(), 18400), "proxy_set_header Connection '';")

	alice := d.visitor()
	alice.everythingIsTheServer()
	alice.signIn("alice")
	if status, text, at := alice.page("http://" + besideHost + "/"); status != http.StatusOK || text != "hello\n" {
		t.Fatalf("%d %.200s at %s", status, text, at)
	}
	var cookie string
	for _, c := range alice.http.Jar.Cookies(&url.URL{Scheme: "http", Host: besideHost, Path: "/"}) {
		cookie = c.Name + "=" + c.Value
	}
	return devURLs{d, cookie}
}

// asks sends a request after the other on each of some connections for a while, and
// returns how many were answered in a second, and how long each took.
func (d devURLs) asks(t *testing.T, addr string, conns int, lasts time.Duration) (perSecond float64, took []time.Duration) {
	t.Helper()
	request := "GET / HTTP/1.1\r\nHost: " + besideHost + "\r\nCookie: " + d.cookie + "\r\n\r\n"
	var (
		mu     sync.Mutex
		failed error
		n      atomic.Int64
		all    sync.WaitGroup
	)
	start := time.Now()
	for range conns {
		all.Go(func() {
			var each []time.Duration
			err := d.talks(addr, request, start.Add(lasts), func(took time.Duration) {
				n.Add(1)
				each = append(each, took)
			})
			mu.Lock()
			defer mu.Unlock()
			failed, took = errors.Join(failed, err), append(took, each...)
		})
	}
	all.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	return float64(n.Load()) / time.Since(start).Seconds(), took
}

func (d devURLs) talks(addr, request string, until time.Time, answered func(time.Duration)) error {
	conn, err := from(d.laptop).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for time.Now().Before(until) {
		start := time.Now()
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s, %w", addr, resp.Status, err)
		}
		answered(time.Since(start))
	}
	return nil
}

// Small requests over connections that stay, beside nginx, which asks the same app over
// the bare link; and how long one takes, beside a ping through the tunnel.
func TestDevURLsBesideNginx(t *testing.T) {
	d := deployBesideNginx(t)
	ours, nginx := d.server.Addr().String()+":7080", d.server.Addr().String()+":80"
	var ratios, our, its []float64
	for round := range 6 {
		a, _ := d.asks(t, ours, 16, time.Second)
		b, _ := d.asks(t, nginx, 16, time.Second)
		if round > 0 { // the first warms both up
			our, its, ratios = append(our, a), append(its, b), append(ratios, a/b)
		}
	}
	_, one := d.asks(t, ours, 1, time.Second)
	_, direct := d.asks(t, nginx, 1, time.Second)
	rtt := d.tunnelRTT()
	added := quantile(one, 0.5) - rtt
	t.Logf("requests a second: %.0f, nginx %.0f: %.2f times [%.2f to %.2f]; one takes p50 %v, by nginx %v; a ping of the tunnel %v, so %v are added",
		middle(our), middle(its), middle(ratios), slices.Min(ratios), slices.Max(ratios),
		quantile(one, 0.5).Round(time.Microsecond), quantile(direct, 0.5).Round(time.Microsecond), rtt.Round(time.Microsecond), added.Round(time.Microsecond))
	if added > time.Millisecond {
		t.Errorf("a dev URL adds %v to the tunnel's round trip", added)
	}
}

// tunnelRTT is the middle of some pings of the workspace through a tunnel over a link
// like the server's own.
func (d devURLs) tunnelRTT() time.Duration {
	d.t.Helper()
	out, err := d.adit("ping", "dev", "-c", "100", "-i", "10ms", "-o", "json")
	if err != nil {
		d.t.Fatal(err)
	}
	var list []time.Duration
	for text := range strings.Lines(out) {
		var line struct {
			RTTMs float64 `json:"rtt_ms"`
			Path  struct{ Kind string }
		}
		if err := json.Unmarshal([]byte(text), &line); err == nil && line.Path.Kind == "direct" {
			list = append(list, time.Duration(line.RTTMs*float64(time.Millisecond)))
		}
	}
	if len(list) == 0 {
		d.t.Fatalf("no ping went directly: %s", out)
	}
	return quantile(list, 0.5)
}

func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

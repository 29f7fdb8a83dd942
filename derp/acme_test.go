package derp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	acmeHost    = "fra.example.com"
	blockedHost = "blocked.example.com"
)

// authority is a real one, for tests of clients.
type authority struct {
	directory, management string
	client                *http.Client
	cmd                   *exec.Cmd
}

// startAuthority runs one that finds every host at this machine, on a port.
func startAuthority(t *testing.T, port int) *authority {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "pebble")
	build := exec.CommandContext(t.Context(), "go", "build", "-modfile=../tools/go.mod", "-o", bin, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the authority: %v: %s", err, out)
	}
	pair := filepath.Join(dir, "pair.pem")
	if err := makeCertificate(pair); err != nil {
		t.Fatal(err)
	}
	listen, management := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": management, "certificate": pair, "privateKey": pair,
		"tlsPort": port, "domainBlocklist": []string{blockedHost},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &authority{
		directory: "https://" + listen + "/dir", management: "https://" + management,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
	}
	a.cmd = exec.Command(bin, "-config", filepath.Join(dir, "config.json"), "-dnsserver", everyHostHere(t))
	a.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	a.cmd.Stdout, a.cmd.Stderr = t.Output(), t.Output()
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.end)
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := a.client.Get(a.directory)
		if err == nil {
			resp.Body.Close()
			return a
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (a *authority) end() {
	_ = a.cmd.Process.Kill() // it may have ended
	_ = a.cmd.Wait()
	a.client.CloseIdleConnections()
}

// roots are what its certificates end in.
func (a *authority) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	resp, err := a.client.Get(a.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		t.Fatalf("%v: %s", err, raw)
	}
	return pool
}

// freeAddress is a TCP address of loopback that nobody has.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// everyHostHere is a name server, over TCP, that knows one address for all names.
func everyHostHere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { answerHere(conn) })
		}
	})
	return l.Addr().String()
}

// answerHere answers the questions that come by conn until the asker is gone.
func answerHere(conn net.Conn) {
	defer conn.Close()
	var size [2]byte
	for {
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(raw); err != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		answer, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(answer)))); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// serveSecurely answers HTTPS with what conf has.
func serveSecurely(t *testing.T, l net.Listener, conf *tls.Config) (stop func()) {
	web := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: headerTimeout}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(tls.NewListener(l, conf)) // until stop
	}()
	return func() { web.Close(); <-done }
}

func TestARelayGetsItsCertificateByACME(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := startAuthority(t, l.Addr().(*net.TCPAddr).Port)
	a, dir := ACME{Host: acmeHost, Email: "ops@example.com", Directory: ca.directory}, t.TempDir()
	conf := a.tls(dir, ca.client)
	defer serveSecurely(t, l, conf)()
	if err := a.obtain(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	visit := &tls.Config{RootCAs: ca.roots(t), ServerName: acmeHost, NextProtos: []string{"http/1.1"}}
	conn, err := tls.Dial("tcp", l.Addr().String(), visit)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	// What is kept serves a relay that starts while the authority is away.
	ca.end()
	if err := a.obtain(t.Context(), a.tls(dir, ca.client)); err != nil {
		t.Error(err)
	}
}

func TestARelayWithoutACertificateSaysWhy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := startAuthority(t, l.Addr().(*net.TCPAddr).Port)
	refused := ACME{Host: blockedHost, Directory: ca.directory}
	conf := refused.tls(t.TempDir(), ca.client)
	defer serveSecurely(t, l, conf)()
	if err := refused.obtain(t.Context(), conf); err == nil || !strings.Contains(err.Error(), blockedHost) || !strings.Contains(err.Error(), "port 443") {
		t.Errorf("refused: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hangs := ACME{Host: acmeHost, Directory: "https://" + freeAddress(t) + "/dir"}
	if err := hangs.obtain(ctx, hangs.tls(t.TempDir(), ca.client)); err == nil {
		t.Error("no error of an authority that is not there")
	}
}

package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// aditServer is "adit server" on a host of the lab, over TLS as anywhere.
type aditServer struct {
	host       *netlab.Host
	bin        string
	dir        string
	url, token string // where it is, and of its only user
	rootCA     []byte // PEM
	pid        int
	workspaces int
}

const serverPort = 7080

func startServer(t testing.TB, h *netlab.Host, bin string) *aditServer {
	t.Helper()
	dir := tempDir(t) // also for the user that runs Postgres
	certFile, keyFile, rootCA := selfSigned(t, dir, h.Addr())
	listen := netip.AddrPortFrom(h.Addr(), serverPort).String()
	s := &aditServer{host: h, bin: bin, dir: dir, url: "https://" + listen, rootCA: rootCA}

	cmd := h.Command(context.Background(), bin, "server", "--listen", listen,
		"--data-dir", filepath.Join(dir, "data"), "--tls-cert", certFile, "--tls-key", keyFile)
	cmd.Env = s.env()
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may be gone
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("adit server:\n%s", log.String())
		}
	})
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("adit server ended")
		}
		if strings.Contains(lines.Text(), "adit server ready") {
			break
		}
	}
	go func() { // or it would block
		for lines := bufio.NewScanner(out); lines.Scan(); {
		}
	}()
	s.signIn(t)
	return s
}

// env is the environment of the server and of its command line.
func (s *aditServer) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "ADIT_CONFIG_DIR=" + filepath.Join(s.dir, "config"),
		"SSL_CERT_FILE=" + filepath.Join(s.dir, s.host.Addr().String()+".crt"),
	}
}

// adit runs a command line on the server's host and returns what it printed.
func (s *aditServer) adit(t testing.TB, stdin string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.host.Command(ctx, s.bin, args...)
	cmd.Env, cmd.Stdin = s.env(), strings.NewReader(stdin)
	var said strings.Builder
	cmd.Stderr = &said
	var out []byte
	err := s.host.Do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		t.Fatalf("adit %s: %v: %s", strings.Join(args, " "), err, said.String())
	}
	return out
}

func (s *aditServer) signIn(t testing.TB) {
	t.Helper()
	s.adit(t, "correct horse\n", "login", s.url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	raw, err := os.ReadFile(filepath.Join(s.dir, "config", "session.json"))
	if err != nil {
		t.Fatal(err)
	}
	var session struct{ Token string }
	if err := json.Unmarshal(raw, &session); err != nil || session.Token == "" {
		t.Fatalf("session.json: %v, or no token", err)
	}
	s.token = session.Token
}

// workspace makes a workspace and returns its agent's token.
func (s *aditServer) workspace(t testing.TB) string {
	t.Helper()
	s.workspaces++
	var made sdk.CreatedWorkspace
	if err := json.Unmarshal(s.adit(t, "", "create", fmt.Sprintf("bench-%d", s.workspaces), "--external", "-o", "json"), &made); err != nil {
		t.Fatal(err)
	}
	return made.AgentToken
}

// selfSigned makes a certificate for an address, in files of dir.
func selfSigned(t testing.TB, dir string, ip netip.Addr) (certFile, keyFile string, certPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: ip.String()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{ip.AsSlice()},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certFile, keyFile = filepath.Join(dir, ip.String()+".crt"), filepath.Join(dir, ip.String()+".key")
	for name, data := range map[string][]byte{
		certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile, certPEM
}

package derp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
)

// Tailscale's own prober finds no fault with two relays of a region: over TLS, by STUN,
// through each and from one to the other, and with a megabyte in each direction.
func TestTailscalesProberFindsNoFault(t *testing.T) {
	dir := t.TempDir()
	probe := filepath.Join(dir, "derpprobe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", probe, "tailscale.com/cmd/derpprobe")
	build.Dir = filepath.Join("..", "bench") // whose module has what it needs
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build derpprobe: %v: %s", err, out)
	}
	cert, roots := certificateFor(t, "localhost")
	region := &tailcfg.DERPRegion{RegionID: 900, RegionCode: "lab", RegionName: "Lab"}
	var both []*regional
	for _, name := range []string{"one", "two"} {
		r := startRegionalWith(t, Config{Admit: admitAll, STUN: []string{"127.0.0.1:0"}}, &tls.Config{Certificates: []tls.Certificate{cert}})
		both = append(both, r)
		u, err := url.Parse(r.web.URL)
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			t.Fatal(err)
		}
		region.Nodes = append(region.Nodes, &tailcfg.DERPNode{
			Name: name, RegionID: 900, HostName: "localhost", IPv4: "127.0.0.1", DERPPort: port, STUNPort: int(r.STUNPorts()[0]),
		})
	}
	joined(t, regionKey, both...)
	text, err := json.Marshal(tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{900: region}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"map.json": text, "roots.pem": roots, "mesh.key": []byte(regionKey)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), probe, "-once", "-spread=false", "-derp-map", "file://"+filepath.Join(dir, "map.json"),
		"-bw-interval", "1s", "-mesh-psk-file", filepath.Join(dir, "mesh.key"))
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(dir, "roots.pem"), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "bad: ") {
		t.Errorf("derpprobe: %v:\n%s", err, out)
	}
	// Of each: TLS, STUN, and packets and a megabyte to itself and to the other.
	const probes = 2*(1+1) + 4 + 4
	if got := strings.Count(string(out), "good: derp/"); got != probes {
		t.Errorf("%d probes went well, want %d:\n%s", got, probes, out)
	}
}

// certificateFor makes a certificate for a name, which is its own root.
func certificateFor(t *testing.T, name string) (cert tls.Certificate, root []byte) {
	t.Helper()
	return certificateUntil(t, name, time.Now().Add(60*24*time.Hour))
}

func certificateUntil(t *testing.T, name string, ends time.Time) (cert tls.Certificate, root []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Unix(0, 0), NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

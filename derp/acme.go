package derp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACME is where a relay gets its certificate from (RFC 8555), by the challenge that
// is answered on the port which is served anyway (TLS-ALPN-01, RFC 8737). The
// authority has to reach that at port 443 of the host.
type ACME struct {
	// Host is the name that the certificate is for.
	Host string
	// Email is whom the authority may write to; empty is nobody.
	Email string
	// Directory is the authority's URL; empty is Let's Encrypt's. Who names an
	// authority agrees to its terms.
	Directory string
}

// tls serves the host's certificate, which is kept in a directory and renewed a month
// before it ends.
func (a ACME) tls(dir string, client *http.Client) *tls.Config {
	directory := a.Directory
	if directory == "" {
		directory = acme.LetsEncryptURL
	}
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(filepath.Join(dir, "acme")),
		HostPolicy: autocert.HostWhitelist(a.Host), Email: a.Email,
		Client: &acme.Client{DirectoryURL: directory, HTTPClient: client},
	}
	return &tls.Config{
		GetCertificate: m.GetCertificate, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1", acme.ALPNProto},
	}
}

// obtain gets the certificate, which has to be served meanwhile, unless it is there
// already.
func (a ACME) obtain(ctx context.Context, served *tls.Config) error {
	got := make(chan error, 1)
	go func() { // ends after five minutes at the latest, which the library allows itself
		_, err := served.GetCertificate(&tls.ClientHelloInfo{
			ServerName: a.Host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // as nodes ask
		})
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			return fmt.Errorf("get a certificate for %s by ACME: %w; see that the name leads here and that port 443 of it is this relay's --listen", a.Host, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

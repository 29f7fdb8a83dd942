package process

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// containerGrace is how long the agent of a container may take to stop. Its engine
// has been told when to kill all there is, which ends the wait.
const containerGrace = time.Hour

// certificates are where programs look for those that they trust.
var certificates = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// Certificates returns the file with the certificates that this host trusts; empty
// if none is found.
func Certificates() string {
	for _, file := range append([]string{os.Getenv("SSL_CERT_FILE")}, certificates...) {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// SuperviseContainer runs the agent of a container, as its first process, until it
// is told to stop by SIGTERM. What the agent needs is in the environment.
func SuperviseContainer() {
	environ := os.Environ()
	if mounted := filepath.Join(ContainerDir, CertificatesFile); Certificates() == "" {
		// Many images trust nobody.
		if _, err := os.Stat(mounted); err == nil {
			environ = append(environ, "SSL_CERT_FILE="+mounted)
		}
	}
	home := cmp.Or(os.Getenv("ADIT_AGENT_HOME"), "/")
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		home = "/"
	}
	s := &supervisor{home: home, environ: environ, grace: containerGrace, said: os.Stderr, say: func(format string, a ...any) {
		fmt.Fprintf(os.Stderr, "%s supervisor: %s\n", time.Now().Format(time.RFC3339), fmt.Sprintf(format, a...))
	}}
	s.run()
}

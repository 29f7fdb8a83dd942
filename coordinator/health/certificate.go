package health

import (
	"crypto/x509"
	"net/url"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// expiresSoon is when a certificate should have been renewed: those of 90 days
// are, 30 days before their end.
const expiresSoon = 14 * 24 * time.Hour

// Certificate checks that a certificate lasts and is for the host of the access
// URL. Both may be nil.
func Certificate(cert *x509.Certificate, access *url.URL, now time.Time) []sdk.Finding {
	if cert == nil {
		return nil
	}
	var list found
	const renew = "put a renewed certificate where --tls-cert and --tls-key are, which the server reads again within 10 s (else its log says why not)"
	switch left := cert.NotAfter.Sub(now); {
	case left <= 0:
		list = append(list, failure(CertificateExpired, renew, "the certificate ended on %s", cert.NotAfter.Format(time.DateOnly)))
	case now.Before(cert.NotBefore):
		list = append(list, failure(CertificateExpired, "see that this host's clock is right", "the certificate begins on %s", cert.NotBefore.Format(time.DateOnly)))
	case left < expiresSoon:
		list = append(list, warning(CertificateExpiring, renew, "the certificate ends in %d days, on %s", int(left.Hours()/24), cert.NotAfter.Format(time.DateOnly)))
	}
	if access != nil && access.Scheme == "https" {
		if err := cert.VerifyHostname(access.Hostname()); err != nil {
			list = append(list, failure(CertificateMismatch, "get a certificate for the host of --access-url, or a proxy in front that has one", "%v", err))
		}
	}
	return list
}

// Package identity tells which instance of a cloud a program runs on, from what the
// cloud signs for that instance and for nobody else:
//
//   - AWS: the instance identity document, with its signature of RSA-2048,
//     against the certificates that AWS publishes for each region.
//   - Google: a JSON Web Token of the instance's service account, against the keys
//     that Google serves.
//   - Azure: attested data, against the authorities that Microsoft publishes.
//
// All but Google's keys is checked offline. How far a proof that was overheard can
// be used again differs. Google's names whom it is for and Azure's ends after some
// hours, and the caller must accept each once: [Instance.Once] says what to
// remember, and until when. AWS's is the same for as long as the instance runs,
// so that whoever could read it there once has it: bind it to something that
// ends, such as a build.
package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind is whose proof it is.
type Kind string

const (
	AWS    Kind = "aws-instance-identity"
	Google Kind = "google-instance-identity"
	Azure  Kind = "azure-instance-identity"
)

var (
	// ErrRefused is a proof that proves nothing.
	ErrRefused = errors.New("not accepted as proof of an instance's identity")
	// ErrUnavailable is that it cannot be told just now.
	ErrUnavailable = errors.New("the cloud's keys cannot be had")
)

const (
	// maxProof bounds what is parsed of strangers.
	maxProof = 32 << 10

	// skew is how much clocks may differ.
	skew = 2 * time.Minute
)

//go:embed certificates/*.pem
var published embed.FS

// Proof is what an agent brings.
type Proof struct {
	Kind Kind
	// Document is AWS's, as it came; empty for the others.
	Document string
	// Signature is AWS's of the document or Azure's attested data, PKCS #7 in
	// base64, or Google's token.
	Signature string
}

// Instance is what a proof proves.
type Instance struct {
	Kind Kind
	// ID is what the cloud calls it, which is unique within the cloud.
	ID string
	// Once is what must not be accepted again before Until; nil where a proof
	// cannot tell.
	Once  []byte
	Until time.Time
}

// Config configures a Verifier. Its zero value is the real clouds.
type Config struct {
	// AWS are the certificates that sign documents; nil are those published.
	AWS []*x509.Certificate
	// AzureRoots and AzureIntermediates are whom Azure's signers are certified by;
	// nil are those published.
	AzureRoots, AzureIntermediates *x509.CertPool
	// GoogleKeys is where Google's keys are; empty is where they really are.
	GoogleKeys string
	// Transport is what keys are asked for by: a breaker, so that nobody waits again
	// and again for an answer that does not come. Nil is http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the time; nil is the clock's.
	Now func() time.Time
}

// Verifier checks proofs. Its methods may be called concurrently.
type Verifier struct {
	cfg  Config
	keys *keySet
}

// New returns a verifier.
func New(cfg Config) (*Verifier, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.GoogleKeys == "" {
		cfg.GoogleKeys = googleKeys
	}
	if cfg.AWS == nil {
		var err error
		if cfg.AWS, err = certificates("aws.pem"); err != nil {
			return nil, err
		}
	}
	if cfg.AzureRoots == nil {
		list, err := certificates("azure.pem")
		if err != nil {
			return nil, err
		}
		cfg.AzureRoots, cfg.AzureIntermediates = x509.NewCertPool(), x509.NewCertPool()
		for _, c := range list {
			if bytes.Equal(c.RawSubject, c.RawIssuer) {
				cfg.AzureRoots.AddCert(c)
			} else {
				cfg.AzureIntermediates.AddCert(c)
			}
		}
	}
	return &Verifier{cfg: cfg, keys: newKeySet(cfg.GoogleKeys, cfg.Now, cfg.Transport)}, nil
}

// certificates reads published ones.
func certificates(name string) ([]*x509.Certificate, error) {
	raw, err := published.ReadFile("certificates/" + name)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return list, nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("identity: certificate %d of %s: %w", len(list)+1, name, err)
		}
		list = append(list, c)
	}
}

// Verify tells which instance a proof is of. audience is the coordinator's URL, for
// which Google's must be. Errors match ErrRefused or ErrUnavailable.
func (v *Verifier) Verify(ctx context.Context, p Proof, audience string) (i Instance, err error) {
	switch {
	case len(p.Document)+len(p.Signature) > maxProof:
		err = fmt.Errorf("%d bytes are more than any proof has", len(p.Document)+len(p.Signature))
	case p.Kind == AWS:
		i, err = v.aws(p)
	case p.Kind == Google:
		i, err = v.google(ctx, p, audience)
	case p.Kind == Azure:
		i, err = v.azure(p)
	default:
		err = fmt.Errorf("no such kind: %.60q", p.Kind)
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		return Instance{}, fmt.Errorf("identity: %s: %w", p.Kind, err)
	case err != nil:
		return Instance{}, fmt.Errorf("identity: %w: %w", ErrRefused, err)
	}
	i.Kind = p.Kind
	return i, nil
}

// once is what is remembered of a proof.
func once(signed []byte) []byte {
	sum := sha256.Sum256(signed)
	return sum[:]
}

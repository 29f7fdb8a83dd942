package identity

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// What clouds call instances.
var (
	awsID   = regexp.MustCompile(`^i-[0-9a-f]{8,32}$`)
	azureID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// parse reads a signature of PKCS #7 in base64, with or without PEM's first and
// last line. It has one signer, whose certificate is with it.
func parse(text string) (*pkcs7.PKCS7, error) {
	text = strings.NewReplacer("-----BEGIN PKCS7-----", "", "-----END PKCS7-----", "", "\n", "", "\r", "", " ", "").Replace(text)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	p, err := pkcs7.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if len(p.Signers) != 1 {
		return nil, fmt.Errorf("%d signers", len(p.Signers))
	}
	return p, nil
}

// aws checks a document with its detached signature. A region's certificate is the
// key itself, and nobody certifies it: it counts if it is published.
func (v *Verifier) aws(p Proof) (Instance, error) {
	signed, err := parse(p.Signature)
	if err != nil {
		return Instance{}, err
	}
	signed.Content = []byte(p.Document)
	// What came with it is a stranger's.
	signed.Certificates = v.cfg.AWS
	if err := signed.Verify(); err != nil {
		return Instance{}, err
	}
	var d struct {
		InstanceID string `json:"instanceId"`
	}
	if err := json.Unmarshal([]byte(p.Document), &d); err != nil {
		return Instance{}, fmt.Errorf("document: %w", err)
	}
	if !awsID.MatchString(d.InstanceID) {
		return Instance{}, fmt.Errorf("%.60q is no instance", d.InstanceID)
	}
	return Instance{ID: d.InstanceID}, nil
}

// azureSigners are those of the public cloud, and of those that governments have.
var azureSigners = []string{"metadata.azure.com", "metadata.azure.us", "metadata.azure.cn"}

// azureTime is how attested data writes times.
const azureTime = "01/02/06 15:04:05 -0700"

// azureAge is how long after it was signed attested data is accepted. It is good
// for six hours, and an agent asks for it just before it brings it.
const azureAge = 10 * time.Minute

func (v *Verifier) azure(p Proof) (Instance, error) {
	signed, err := parse(p.Signature)
	if err != nil {
		return Instance{}, err
	}
	if err := signed.Verify(); err != nil {
		return Instance{}, err
	}
	signer := signed.GetOnlySigner()
	if signer == nil {
		return Instance{}, errors.New("the signer's certificate is not there")
	}
	if err := v.isAzure(signer, signed.Certificates); err != nil {
		return Instance{}, err
	}
	var d struct {
		VMID      string `json:"vmId"`
		TimeStamp struct {
			CreatedOn string `json:"createdOn"`
			ExpiresOn string `json:"expiresOn"`
		} `json:"timeStamp"`
	}
	if err := json.Unmarshal(signed.Content, &d); err != nil {
		return Instance{}, fmt.Errorf("attested data: %w", err)
	}
	created, err := time.Parse(azureTime, d.TimeStamp.CreatedOn)
	if err != nil {
		return Instance{}, fmt.Errorf("attested data: %w", err)
	}
	expires, err := time.Parse(azureTime, d.TimeStamp.ExpiresOn)
	if err != nil {
		return Instance{}, fmt.Errorf("attested data: %w", err)
	}
	now := v.cfg.Now()
	switch {
	case now.Before(created.Add(-skew)) || now.After(created.Add(azureAge)) || now.After(expires):
		return Instance{}, fmt.Errorf("attested at %s, which is not within the last %v", d.TimeStamp.CreatedOn, azureAge)
	case !azureID.MatchString(d.VMID):
		return Instance{}, fmt.Errorf("%.60q is no machine", d.VMID)
	}
	// The content, for the same could be wrapped in other bytes.
	return Instance{ID: strings.ToLower(d.VMID), Once: once(signed.Content), Until: created.Add(azureAge + skew)}, nil
}

// isAzure reports whether a certificate is of Azure's metadata service.
func (v *Verifier) isAzure(signer *x509.Certificate, others []*x509.Certificate) error {
	between := v.cfg.AzureIntermediates.Clone()
	for _, c := range others {
		between.AddCert(c)
	}
	if _, err := signer.Verify(x509.VerifyOptions{
		Roots: v.cfg.AzureRoots, Intermediates: between, CurrentTime: v.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return err
	}
	for _, host := range signer.DNSNames {
		for _, name := range azureSigners {
			if host == name || strings.HasSuffix(host, "."+name) { // regions have hosts of their own
				return nil
			}
		}
	}
	return fmt.Errorf("signed by %.100q, which is not Azure's metadata service", signer.DNSNames)
}

package identity

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/breaker"
	"github.com/aditmesh/adit/coordinator/identity/identitytest"
)

func verifier(t *testing.T, cfg Config) *Verifier {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const document = `{"accountId": "123456789012", "instanceId" : "i-0123456789abcdef0", "region" : "us-east-1", "pendingTime": "2026-01-01T00:00:00Z"}`

func TestAWSDocuments(t *testing.T) {
	region, other := identitytest.Certify(t, "region", nil), identitytest.Certify(t, "other", nil)
	v := verifier(t, Config{AWS: []*x509.Certificate{identitytest.Certify(t, "another region", nil).Cert, region.Cert}})
	good := region.Sign(t, document, true)
	lines := "-----BEGIN PKCS7-----\n" + good[:64] + "\n" + good[64:] + "\n-----END PKCS7-----\n"
	for _, signature := range []string{good, lines} {
		i, err := v.Verify(t.Context(), Proof{Kind: AWS, Document: document, Signature: signature}, "")
		if err != nil || i.ID != "i-0123456789abcdef0" || i.Kind != AWS || i.Once != nil {
			t.Errorf("%+v, %v", i, err)
		}
	}
	forged := strings.Replace(document, "i-0123456789abcdef0", "i-0123456789abcdef1", 1)
	nobody := `{"instanceId": "me"}`
	for name, p := range map[string]Proof{
		"another instance's name":      {AWS, forged, good},
		"signed by somebody else":      {AWS, document, other.Sign(t, document, true)},
		"no instance":                  {AWS, nobody, region.Sign(t, nobody, true)},
		"no document":                  {AWS, "", region.Sign(t, "", true)},
		"a document within":            {AWS, forged, region.Sign(t, document, false)},
		"no signature":                 {AWS, document, ""},
		"no base64":                    {AWS, document, "%%%"},
		"no PKCS #7":                   {AWS, document, base64.StdEncoding.EncodeToString([]byte("MII"))},
		"as long as a book":            {AWS, document + strings.Repeat(" ", maxProof), good},
		"Azure's":                      {Azure, document, good},
		"of a cloud that there is not": {"home-instance-identity", document, good},
	} {
		if _, err := v.Verify(t.Context(), p, ""); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func attested(created time.Time) string {
	return fmt.Sprintf(`{"licenseType":"","nonce":"1234567890","vmId":"DC18DE58-292f-4794-9a5d-a4192bad0039","timeStamp":{"createdOn":%q,"expiresOn":%q}}`,
		created.UTC().Format(azureTime), created.Add(6*time.Hour).UTC().Format(azureTime))
}

func TestAzureAttestedData(t *testing.T) {
	root := identitytest.Certify(t, "root", nil)
	between := identitytest.Certify(t, "issuing", root)
	vault := identitytest.Certify(t, "leaf", between, "metadata.azure.com")
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Cert)
	intermediates.AddCert(between.Cert)
	v := verifier(t, Config{AzureRoots: roots, AzureIntermediates: intermediates})

	now := time.Now()
	content := attested(now)
	var once []byte
	for _, s := range []*identitytest.Signer{vault, identitytest.Certify(t, "regional", between, "westeurope.metadata.azure.com")} {
		i, err := v.Verify(t.Context(), Proof{Kind: Azure, Signature: s.Sign(t, content, false)}, "")
		if err != nil || i.ID != "dc18de58-292f-4794-9a5d-a4192bad0039" || len(i.Once) != 32 || i.Until.Before(now.Add(azureAge-time.Second)) {
			t.Errorf("%+v, %v", i, err)
		}
		if once != nil && !slices.Equal(once, i.Once) {
			t.Error("the same data in another wrapping counts as another")
		}
		once = i.Once
	}
	for name, signature := range map[string]string{
		"of another host":              identitytest.Certify(t, "leaf", between, "example.com").Sign(t, content, false),
		"of a host like it":            identitytest.Certify(t, "leaf", between, "evilmetadata.azure.com").Sign(t, content, false),
		"of one that nobody certified": identitytest.Certify(t, "leaf", nil, "metadata.azure.com").Sign(t, content, false),
		"of long ago":                  vault.Sign(t, attested(now.Add(-azureAge-time.Minute)), false),
		"of later":                     vault.Sign(t, attested(now.Add(time.Hour)), false),
		"without a time":               vault.Sign(t, `{"vmId":"dc18de58-292f-4794-9a5d-a4192bad0039"}`, false),
		"without a machine":            vault.Sign(t, strings.Replace(content, "vmId", "vm", 1), false),
		"without its content":          vault.Sign(t, content, true),
	} {
		if _, err := v.Verify(t.Context(), Proof{Kind: Azure, Signature: signature}, ""); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func googleClaims(at time.Time) map[string]any {
	return map[string]any{
		"iss": "https://accounts.google.com", "aud": "https://adit.example.com#n0nce", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix(),
		"google": map[string]any{"compute_engine": map[string]any{"instance_id": "4711"}},
	}
}

func TestGoogleTokens(t *testing.T) {
	key, other := identitytest.Certify(t, "a", nil).Key, identitytest.Certify(t, "b", nil).Key
	keys := identitytest.ServeKeys(t, map[string]*rsa.PrivateKey{"k1": key})
	now := time.Now()
	v := verifier(t, Config{GoogleKeys: keys.URL, Now: func() time.Time { return now }})
	const here = "https://adit.example.com/"
	head := map[string]any{"alg": "RS256", "kid": "k1"}
	good := identitytest.Token(t, key, head, googleClaims(now))
	i, err := v.Verify(t.Context(), Proof{Kind: Google, Signature: good}, here)
	if err != nil || i.ID != "4711" || len(i.Once) != 32 {
		t.Errorf("%+v, %v", i, err)
	}
	change := func(name string, value any) map[string]any {
		c := googleClaims(now)
		c[name] = value
		return c
	}
	for name, text := range map[string]string{
		"of another key":       identitytest.Token(t, other, head, googleClaims(now)),
		"of no algorithm":      identitytest.Token(t, key, map[string]any{"alg": "none", "kid": "k1"}, googleClaims(now)),
		"of another algorithm": identitytest.Token(t, key, map[string]any{"alg": "HS256", "kid": "k1"}, googleClaims(now)),
		"of a key unknown":     identitytest.Token(t, key, map[string]any{"alg": "RS256", "kid": "k2"}, googleClaims(now)),
		"for somebody else":    identitytest.Token(t, key, head, change("aud", "https://evil.example.com#n0nce")),
		"by somebody else":     identitytest.Token(t, key, head, change("iss", "https://evil.example.com")),
		"expired":              identitytest.Token(t, key, head, change("exp", now.Add(-time.Second).Unix())),
		"of long ago":          identitytest.Token(t, key, head, googleClaims(now.Add(-googleAge-time.Minute))),
		"of later":             identitytest.Token(t, key, head, googleClaims(now.Add(time.Hour))),
		"of no instance":       identitytest.Token(t, key, head, change("google", nil)),
		"changed":              strings.Replace(good, ".", ".e30", 1),
		"in two parts":         "e30.e30",
		"empty":                "",
	} {
		if _, err := v.Verify(t.Context(), Proof{Kind: Google, Signature: text}, here); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), Proof{Kind: Google, Signature: good}, ""); !errors.Is(err, ErrRefused) {
		t.Errorf("a coordinator that does not know what it is called: %v", err)
	}
	if n := keys.Asked.Load(); n != 1 { // also with a key that is not there: it was asked just before
		t.Errorf("keys were asked for %d times", n)
	}
}

func TestGoogleKeysAreKeptAndAskedForInTurn(t *testing.T) {
	key := identitytest.Certify(t, "a", nil).Key
	served := map[string]*rsa.PrivateKey{"k1": key}
	keys := identitytest.ServeKeys(t, served)
	now := time.Now()
	via := breaker.NewRegistry(nil).Transport(breaker.Cloud, http.DefaultTransport)
	v := verifier(t, Config{GoogleKeys: keys.URL, Transport: via, Now: func() time.Time { return now }})
	verify := func(kid string) error {
		text := identitytest.Token(t, key, map[string]any{"alg": "RS256", "kid": kid}, googleClaims(now))
		_, err := v.Verify(t.Context(), Proof{Kind: Google, Signature: text}, "https://adit.example.com")
		return err
	}
	keys.Down.Store(true)
	for range 20 { // the breaker opens
		if err := verify("k1"); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("without keys: %v", err)
		}
	}
	if n := keys.Asked.Load(); n > 10 {
		t.Errorf("asked %d times while there was no answer", n)
	}
	v = verifier(t, Config{GoogleKeys: keys.URL, Now: func() time.Time { return now }})
	keys.Down.Store(false)
	if err := verify("k1"); err != nil {
		t.Fatal(err)
	}
	keys.Down.Store(true)
	now = now.Add(keysKept + time.Minute)
	if err := verify("k1"); err != nil {
		t.Errorf("old keys, while there are no new ones: %v", err)
	}
	keys.Down.Store(false)
	served["k2"] = key
	now = now.Add(askAgain)
	if err := verify("k2"); err != nil {
		t.Errorf("a new key: %v", err)
	}
}

// What is pinned are keys that are good for some years, of all regions and of both
// of Azure's hierarchies.
func TestPublishedCertificates(t *testing.T) {
	aws, err := certificates("aws.pem")
	if err != nil || len(aws) < 35 {
		t.Fatalf("%d of AWS, %v", len(aws), err)
	}
	seen := make(map[string]bool)
	for _, c := range aws {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if !ok || key.Size() < 256 || c.NotAfter.Before(time.Now().AddDate(5, 0, 0)) || seen[c.SerialNumber.String()] {
			t.Errorf("%v, serial %v, until %v", c.Subject, c.SerialNumber, c.NotAfter)
		}
		seen[c.SerialNumber.String()] = true
	}
	azure, err := certificates("azure.pem")
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, Config{})
	for _, c := range azure {
		if _, err := c.Verify(x509.VerifyOptions{
			Roots: v.cfg.AzureRoots, CurrentTime: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}); err != nil {
			t.Errorf("%v: %v", c.Subject, err)
		}
	}
}

func FuzzProofs(f *testing.F) {
	v, err := New(Config{GoogleKeys: "http://127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("aws-instance-identity", document, "MIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEAADGCAAA=")
	f.Add("azure-instance-identity", "", "MIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEAADGCAAA=")
	f.Add("google-instance-identity", "", "e30.e30.e30")
	// Nobody can make a proof by chance, and nothing that is parsed ends the program.
	f.Fuzz(func(t *testing.T, kind, doc, signature string) {
		if kind == string(Google) {
			kind = string(AWS) // it would ask for keys
		}
		if i, err := v.Verify(t.Context(), Proof{Kind(kind), doc, signature}, "https://adit.example.com"); err == nil {
			t.Errorf("accepted as %+v", i)
		}
	})
}

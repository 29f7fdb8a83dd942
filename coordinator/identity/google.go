package identity

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// googleKeys is where Google serves the keys that sign tokens.
	googleKeys = "https://www.googleapis.com/oauth2/v3/certs"

	// keysKept is how long keys are used before they are asked for again: Google
	// changes them in days, and says the new ones long before.
	keysKept = time.Hour

	// askAgain is how soon they are asked for again because of a key that is not
	// among them: whoever makes key ids up does not make us ask all the time.
	askAgain = 30 * time.Second

	// askTimeout bounds asking.
	askTimeout = 10 * time.Second

	// googleAge is how long after it was signed a token is accepted. It is good for
	// an hour, and an agent asks for it just before it brings it.
	googleAge = 10 * time.Minute
)

// What Google calls instances.
var googleID = regexp.MustCompile(`^[0-9]{1,20}$`)

// google checks a token of the instance's service account. Its audience is the
// coordinator's URL, and behind # something that makes it another each time.
func (v *Verifier) google(ctx context.Context, p Proof, audience string) (Instance, error) {
	parts := strings.Split(strings.TrimSpace(p.Signature), ".")
	if len(parts) != 3 {
		return Instance{}, errors.New("no token")
	}
	var head struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	if err := decode(parts[0], &head); err != nil {
		return Instance{}, err
	}
	if head.Algorithm != "RS256" {
		return Instance{}, fmt.Errorf("signed by %.20q, not by RS256", head.Algorithm)
	}
	key, err := v.keys.key(ctx, head.KeyID)
	if err != nil {
		return Instance{}, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return Instance{}, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return Instance{}, err
	}
	var claims struct {
		Issuer   string  `json:"iss"`
		Audience string  `json:"aud"`
		Issued   float64 `json:"iat"`
		Expires  float64 `json:"exp"`
		Google   struct {
			Compute struct {
				InstanceID string `json:"instance_id"`
			} `json:"compute_engine"`
		} `json:"google"`
	}
	if err := decode(parts[1], &claims); err != nil {
		return Instance{}, err
	}
	now, issued, expires := v.cfg.Now(), time.Unix(int64(claims.Issued), 0), time.Unix(int64(claims.Expires), 0)
	whom, _, _ := strings.Cut(claims.Audience, "#")
	switch {
	case !slices.Contains([]string{"https://accounts.google.com", "accounts.google.com"}, claims.Issuer):
		return Instance{}, fmt.Errorf("issued by %.100q, not by Google", claims.Issuer)
	case audience == "" || strings.TrimSuffix(whom, "/") != strings.TrimSuffix(audience, "/"):
		return Instance{}, fmt.Errorf("for %.100q, not for %s", claims.Audience, audience)
	case now.Before(issued.Add(-skew)) || now.After(issued.Add(googleAge)) || now.After(expires):
		return Instance{}, fmt.Errorf("issued at %v, which is not within the last %v", issued.UTC(), googleAge)
	case !googleID.MatchString(claims.Google.Compute.InstanceID):
		return Instance{}, errors.New("it names no instance: ask for it with format=full")
	}
	// Without the signature, of which there may be others.
	return Instance{ID: claims.Google.Compute.InstanceID, Once: once([]byte(parts[0] + "." + parts[1])), Until: issued.Add(googleAge + skew)}, nil
}

// decode reads a part of a token.
func decode(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// keySet has Google's keys, and asks for them when it has to.
type keySet struct {
	url    string
	now    func() time.Time
	client *http.Client

	mu    sync.Mutex // guards what follows; held while keys are asked for, by one for all
	keys  map[string]*rsa.PublicKey
	asked time.Time // when they came
	tried time.Time // when they were last asked for
}

func newKeySet(url string, now func() time.Time, via http.RoundTripper) *keySet {
	return &keySet{url: url, now: now, client: &http.Client{Timeout: askTimeout, Transport: via}}
}

// key returns a key. Old ones are used while new ones cannot be had.
func (s *keySet) key(ctx context.Context, id string) (*rsa.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	known := s.keys[id]
	stale := now.Sub(s.asked) >= keysKept
	if !stale && known != nil {
		return known, nil
	}
	if s.keys != nil && now.Sub(s.tried) < askAgain {
		if known == nil {
			return nil, fmt.Errorf("signed by the key %.60q, which is not Google's", id)
		}
		return known, nil
	}
	s.tried = now
	keys, err := s.ask(ctx)
	switch {
	case err == nil:
		s.keys, s.asked = keys, now
	case known == nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return known, nil
	}
	if s.keys[id] == nil {
		return nil, fmt.Errorf("signed by the key %.60q, which is not Google's", id)
	}
	return s.keys[id], nil
}

// ask asks for the keys. That the caller gives up is no reason to.
func (s *keySet) ask(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", s.url, resp.Status)
	}
	var set struct {
		Keys []struct {
			ID       string `json:"kid"`
			Type     string `json:"kty"`
			Modulus  string `json:"n"`
			Exponent string `json:"e"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("keys of %s: %w", s.url, err)
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.Modulus)
		e, errE := base64.RawURLEncoding.DecodeString(k.Exponent)
		exponent := new(big.Int).SetBytes(e)
		if k.Type != "RSA" || errors.Join(errN, errE) != nil || len(n) < 256 || !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
			continue // of another kind, or too weak
		}
		keys[k.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no keys", s.url)
	}
	return keys, nil
}

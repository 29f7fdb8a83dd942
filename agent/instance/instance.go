// Package instance asks the metadata service of the cloud that a machine runs in for
// what proves which instance it is, and has the coordinator exchange it for the
// agent's token.
package instance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// metadataURL is where every cloud serves an instance's metadata, and nothing
	// but the instance can reach it.
	metadataURL = "http://169.254.169.254"

	// askTimeout bounds one question.
	askTimeout = 10 * time.Second

	// maxAnswer bounds an answer; the largest are signatures.
	maxAnswer = 64 << 10

	// firstRetry and lastRetry are how soon to try again: the workspace's build may
	// be under way for minutes after its machine has started.
	firstRetry = time.Second
	lastRetry  = 15 * time.Second
)

// Config configures [Token].
type Config struct {
	// Auth is one of the sdk's that is not AuthToken.
	Auth string
	// Metadata is where the metadata service is; empty is where clouds have it.
	Metadata string
	// URL is the coordinator's.
	URL *url.URL
	// Logger gets what has to be waited for; nil discards.
	Logger *slog.Logger
	// Retry is how soon to try again at first; zero is a second.
	Retry time.Duration
}

// Token returns the agent's token. It tries until the coordinator has an agent for
// this instance, or ctx ends.
func Token(ctx context.Context, cfg Config) (string, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metadata == "" {
		cfg.Metadata = metadataURL
	}
	if cfg.Retry == 0 {
		cfg.Retry = firstRetry
	}
	s := service{base: strings.TrimSuffix(cfg.Metadata, "/"), client: &http.Client{
		Timeout: askTimeout,
		// The service is one hop away, or there is none: a proxy, or what a
		// redirect leads to, is somebody else.
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	coordinator := sdk.New(cfg.URL, "")
	for delay := cfg.Retry; ; delay = min(2*delay, lastRetry) {
		proof, err := s.proof(ctx, cfg)
		if err == nil {
			var token string
			if token, err = coordinator.ExchangeIdentity(ctx, proof); err == nil {
				return token, nil
			}
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		cfg.Logger.Info("waiting to be known by this instance", "auth", cfg.Auth, "err", err)
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(delay):
		}
	}
}

// service is a cloud's metadata service.
type service struct {
	base   string
	client *http.Client
}

// proof asks for what proves the instance; for another one each time, where there
// are others.
func (s service) proof(ctx context.Context, cfg Config) (sdk.InstanceProof, error) {
	p := sdk.InstanceProof{Kind: cfg.Auth}
	var err error
	switch cfg.Auth {
	case sdk.AuthAWS:
		err = s.aws(ctx, &p)
	case sdk.AuthGoogle:
		audience := strings.TrimSuffix(cfg.URL.String(), "/") + "#" + rand.Text()
		q := url.Values{"audience": {audience}, "format": {"full"}}
		p.Signature, err = s.ask(ctx, http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/identity?"+q.Encode(), "Metadata-Flavor", "Google")
	case sdk.AuthAzure:
		err = s.azure(ctx, &p)
	default:
		err = fmt.Errorf("no such auth: %q", cfg.Auth)
	}
	if err != nil {
		return p, fmt.Errorf("metadata service of the cloud: %w", err)
	}
	return p, nil
}

// aws asks with a session, as machines demand that do not want to be tricked.
func (s service) aws(ctx context.Context, p *sdk.InstanceProof) error {
	session, err := s.ask(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return err
	}
	const header = "X-aws-ec2-metadata-token"
	if p.Document, err = s.ask(ctx, http.MethodGet, "/latest/dynamic/instance-identity/document", header, session); err != nil {
		return err
	}
	p.Signature, err = s.ask(ctx, http.MethodGet, "/latest/dynamic/instance-identity/rsa2048", header, session)
	return err
}

func (s service) azure(ctx context.Context, p *sdk.InstanceProof) error {
	nonce, err := rand.Int(rand.Reader, big.NewInt(1e10)) // ten digits are what there is room for
	if err != nil {
		return err
	}
	q := url.Values{"api-version": {"2021-02-01"}, "nonce": {fmt.Sprintf("%010d", nonce)}}
	text, err := s.ask(ctx, http.MethodGet, "/metadata/attested/document?"+q.Encode(), "Metadata", "true")
	if err != nil {
		return err
	}
	var answer struct {
		Encoding  string `json:"encoding"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return fmt.Errorf("attested data: %w", err)
	}
	if answer.Encoding != "pkcs7" || answer.Signature == "" {
		return errors.New("attested data: not in pkcs7")
	}
	p.Signature = answer.Signature
	return nil
}

func (s service) ask(ctx context.Context, method, path, header, value string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set(header, value)
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s", method, req.URL.Path, resp.Status)
	}
	return string(raw), nil
}

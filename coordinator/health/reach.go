package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/aditmesh/adit/coordinator/breaker"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxAnswer bounds what is read of a neighbour's answer.
const maxAnswer = 64 << 10

// Prober asks neighbours whether they are there.
type Prober struct {
	// Transport reaches them, through Breakers.
	Transport http.RoundTripper
	Breakers  *breaker.Registry
}

func (p Prober) client(kind breaker.Kind) *http.Client {
	return &http.Client{
		Transport:     p.Breakers.Transport(kind, p.Transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// access checks that the access URL leads here.
func (c *Checker) access(ctx context.Context) found {
	if c.cfg.AccessURL == nil {
		return nil
	}
	return Prober{c.cfg.Transport, c.cfg.Breakers}.Reach(ctx, c.cfg.AccessURL)
}

// fixes that several findings share.
const (
	fixAccess = "set --access-url to where people and agents reach the coordinator, and see that DNS, firewall and proxy lead there"
	fixProxy  = "have the proxy in front pass WebSockets: for nginx, proxy_http_version 1.1 and the headers Upgrade and Connection"
)

// Reach checks that a coordinator is at u, and that WebSockets get through.
func (p Prober) Reach(ctx context.Context, u *url.URL) []sdk.Finding {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var list found
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		list = append(list, warning(AccessURLLocal, fixAccess, "the access URL %s leads to this machine from this machine alone", u.Redacted()))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("api/v1/buildinfo").String(), nil)
	if err != nil {
		return append(list, failure(AccessURLWrong, fixAccess, "the access URL is none: %v", err))
	}
	resp, err := p.client(breaker.Self).Do(req)
	if err != nil {
		return append(list, unreached(u, err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var info struct {
		Version  *string `json:"version"`
		HasUsers *bool   `json:"has_users"`
	}
	switch {
	case err != nil:
		return append(list, unreached(u, err))
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return append(list, failure(AccessURLWrong, "set --access-url to where it leads", "%s redirects to %s", u.Redacted(), redacted(resp.Header.Get("Location"))))
	case resp.StatusCode == http.StatusServiceUnavailable && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json"):
		return list // a coordinator whose database is away
	case resp.StatusCode != http.StatusOK || json.Unmarshal(bytes.TrimSpace(raw), &info) != nil || info.Version == nil || info.HasUsers == nil:
		return append(list, failure(AccessURLWrong, fixAccess, "at %s something answers (%s) that is no adit coordinator", u.Redacted(), resp.Status))
	}
	if err := p.echo(ctx, u); err != nil {
		list = append(list, failure(WebSocketBroken, fixProxy, "HTTP gets through to %s, WebSockets do not: %v", u.Redacted(), err))
	}
	return list
}

// redacted is a URL without a password, whoever wrote it.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "somewhere else"
	}
	return u.Redacted()
}

// unreached says why u was not reached.
func unreached(u *url.URL, err error) sdk.Finding {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err // the rest is in our own words
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) || errors.As(err, &verify) {
		return failure(AccessURLUntrusted, "serve a certificate for this name that clients trust (--tls-cert), with its whole chain", "%s: %v", u.Redacted(), err)
	}
	return failure(AccessURLUnreachable, fixAccess, "%s: %v", u.Redacted(), err)
}

// echo sends a word through a WebSocket and waits for it.
func (p Prober) echo(ctx context.Context, u *url.URL) error {
	ws, resp, err := websocket.Dial(ctx, u.JoinPath(EchoPath).String(), &websocket.DialOptions{HTTPClient: p.client(breaker.Self)})
	if err != nil {
		if resp != nil {
			return fmt.Errorf("the upgrade was answered with %s", resp.Status)
		}
		return err
	}
	defer ws.CloseNow()
	var raw [8]byte
	rand.Read(raw[:])
	word := hex.EncodeToString(raw[:])
	if err := ws.Write(ctx, websocket.MessageText, []byte(word)); err != nil {
		return err
	}
	ws.SetReadLimit(maxEcho)
	_, got, err := ws.Read(ctx)
	if err == nil && string(got) != word {
		err = errors.New("something else came back")
	}
	return err
}

// relays checks that relays are there, let nodes upgrade, and carry what they send.
// One that hangs does not keep the others from being asked.
func (c *Checker) relays(ctx context.Context, m *meshv1.Relays) found {
	var all []func() found
	for _, region := range m.GetRegions() {
		for _, r := range region.GetRelays() {
			all = append(all, func() found { return c.relay(ctx, region.GetCode()+"/"+r.GetName(), r) })
		}
	}
	if len(all) == 0 {
		return found{warning(NoRelay, "run one: adit server --relay, which is the default, or adit relay", "there is no relay: nodes without a direct path do not reach each other")}
	}
	results := make([]found, len(all))
	var asked sync.WaitGroup
	for i, ask := range all {
		asked.Go(func() { results[i] = ask() })
	}
	asked.Wait()
	return slices.Concat(results...)
}

// relay checks one relay.
func (c *Checker) relay(ctx context.Context, name string, r *meshv1.Relay) found {
	u := c.cfg.AccessURL // the embedded one is wherever the coordinator is
	if r.GetUrl() != "" {
		var err error
		if u, err = url.Parse(r.GetUrl()); err != nil {
			return found{failure(RelayUnreachable, "correct its URL", "relay %s: %v", name, err)}
		}
	}
	if u == nil {
		return nil
	}
	if ill := (Prober{c.cfg.Transport, c.cfg.Breakers}).relay(ctx, name, u, r); len(ill) > 0 {
		return ill
	}
	return c.probeRelay(ctx, name, u, r)
}

// relaysGone checks that the relays that once joined are in the map: nodes of the
// region of one that is not relay over another.
func (c *Checker) relaysGone(ctx context.Context, m *meshv1.Relays) found {
	all, err := c.cfg.Store.LiveRelays(ctx)
	if err != nil {
		return nil // the database has its own finding
	}
	here := make(map[string]bool)
	for _, region := range m.GetRegions() {
		for _, r := range region.GetRelays() {
			here[region.GetCode()+"/"+r.GetName()] = true
		}
	}
	var list found
	for _, r := range all {
		if r.LastSeenAt == nil || here[r.Region.Code+"/"+r.Name] {
			continue
		}
		list = append(list, warning(RelayGone, "start it, and see that it reaches the coordinator; or delete it: adit relays delete "+r.Name,
			"relay %s of region %s at %s was here last %v ago", r.Name, r.Region.Code, r.URL, time.Since(*r.LastSeenAt).Round(time.Second)))
		if len(list) == maxTargets {
			break
		}
	}
	return list
}

// relay checks that a relay answers and lets nodes upgrade.
func (p Prober) relay(ctx context.Context, name string, u *url.URL, r *meshv1.Relay) found {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if r.GetCertName() != "" { // it is pinned, and nodes check that
		if t, ok := p.Transport.(*http.Transport); ok {
			t = t.Clone()
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
			defer t.CloseIdleConnections()
			p.Transport = t
		}
	}
	unreachable := func(evidence string, args ...any) found {
		return found{failure(RelayUnreachable, "start the relay, and see that this host and nodes reach it", "relay %s at %s: "+evidence, append([]any{name, u.Redacted()}, args...)...)}
	}
	resp, err := p.get(ctx, u.JoinPath("generate_204"), nil)
	if err != nil {
		return unreachable("%v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return unreachable("it answers %s, which no relay does", resp.Status)
	}
	resp, err = p.get(ctx, u.JoinPath("derp"), http.Header{"Upgrade": {"DERP"}, "Connection": {"Upgrade"}})
	if err != nil {
		return unreachable("%v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return found{warning(RelayUpgradeBroken, "have the proxy in front of it pass upgrades to DERP, or let the server terminate TLS itself (--tls-cert)",
			"relay %s at %s: an upgrade to DERP is answered with %s; nodes relay over WebSockets, which are slower", name, u.Redacted(), resp.Status)}
	}
	return nil
}

func (p Prober) get(ctx context.Context, u *url.URL, h http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if h != nil {
		req.Header = h
	}
	resp, err := p.client(breaker.Relay).Do(req)
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return resp, err
}

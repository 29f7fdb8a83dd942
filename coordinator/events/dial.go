package events

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// ErrURL is a URL that no webhook may have.
var ErrURL = errors.New("a webhook cannot go there")

// inner are addresses that look like the internet's and are not: of networks
// that carriers and tests have to themselves, and such as carry another address
// in them.
var inner = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// Public reports whether an address is the internet's.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range inner {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// CheckURL returns an error that matches ErrURL unless a webhook may have the
// URL. Names are looked at when they are resolved, at each attempt.
func CheckURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%w: it is no URL", ErrURL)
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return fmt.Errorf("%w: want https://HOST/PATH", ErrURL)
	case u.User != nil, u.Fragment != "":
		return fmt.Errorf("%w: it must have neither a user nor a fragment", ErrURL)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !Public(a) {
		return fmt.Errorf("%w: %s is no address of the internet; the server's --webhook-private allows it", ErrURL, a)
	}
	return nil
}

// newClient returns a client that goes nowhere but where it is told: through no
// proxy, after no redirect, and, unless private addresses are allowed, into no
// network but the internet. It sees the address that a name resolved to, when
// it connects.
func newClient(allowPrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: attemptTimeout / 2, Control: func(_, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrURL, err)
		}
		if !allowPrivate && !Public(a.Addr()) {
			return fmt.Errorf("%w: %s is no address of the internet", ErrURL, a.Addr())
		}
		return nil
	}}
	return &http.Client{
		Timeout:       attemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: attemptTimeout / 2,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
		},
	}
}

// Package captive finds out whether a network answers in the place of others until
// its users have signed in: a captive portal, of a hotel or a train.
//
// A server of ours is asked for /generate_204 with a challenge, which it returns, as
// relays of Tailscale do; nobody else knows it. A portal answers plain HTTP on port 80,
// wherever it is for, so that is asked, too.
package captive

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// Path is where a server is asked, challengeHeader what it is to return, and
	// responseHeader where that is, behind responsePrefix.
	Path            = "/generate_204"
	challengeHeader = "X-Tailscale-Challenge"
	responseHeader  = "X-Tailscale-Response"
	responsePrefix  = "response "

	// askFor bounds a request: a portal is near, and a server on the same planet.
	askFor = 3 * time.Second
)

// Portal is what was found.
type Portal struct {
	// Found says that somebody else answers for a server, and it cannot be reached.
	Found bool `json:"found"`
	// For is the URL that was answered by somebody else, and SignIn the one to open in
	// a browser: where that answer leads, or For if it leads nowhere.
	For    string `json:"for,omitempty"`
	SignIn string `json:"sign_in,omitempty"`
}

// Look asks servers, all at once, for three seconds at the most. It returns nil if it
// cannot tell: nobody answered.
func Look(ctx context.Context, servers []*url.URL) *Portal {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	found := make([]*Portal, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() { found[i] = look(ctx, places(s)) })
	}
	all.Wait()
	var sum *Portal
	for _, p := range found {
		if sum == nil || p != nil && p.Found {
			sum = p
		}
		if p != nil && p.Found {
			break
		}
	}
	return sum
}

// places are where a server is asked: where it is, and on port 80.
func places(server *url.URL) []*url.URL {
	at := []*url.URL{server.JoinPath(Path)}
	if server.Scheme == "http" && (server.Port() == "" || server.Port() == "80") {
		return at
	}
	host := server.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return append(at, &url.URL{Scheme: "http", Host: host, Path: Path})
}

// look asks one server at its places, until it has answered itself: then whatever
// answers elsewhere is not in the way.
func look(ctx context.Context, at []*url.URL) *Portal {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	answers := make(chan answer, len(at))
	for _, u := range at {
		go func() { answers <- ask(ctx, u) }()
	}
	var found *Portal
	ours := false
	for range at {
		a := <-answers
		switch {
		case a.ours:
			ours = true
			enough()
		case a.foreign && (found == nil || a.leads != ""):
			found = &Portal{Found: true, For: a.at, SignIn: cmp.Or(a.leads, a.at)}
		}
	}
	if ours {
		return &Portal{}
	}
	return found
}

// answer is who answered; nobody, if it is neither.
type answer struct {
	at            string // which URL
	ours, foreign bool
	leads         string // where a foreign one leads; empty is nowhere
}

func ask(ctx context.Context, u *url.URL) answer {
	// The answer proves itself by the challenge, and nothing is told that others may not
	// know: so it is no matter by whose certificate it came, and relays have their own.
	web := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	defer web.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return answer{}
	}
	challenge := "adit-" + rand.Text()
	req.Header.Set(challengeHeader, challenge)
	resp, err := web.RoundTrip(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent && resp.Header.Get(responseHeader) == responsePrefix+challenge {
		return answer{at: u.String(), ours: true}
	}
	to, err := resp.Location()
	redirects := resp.StatusCode/100 == 3 && err == nil
	switch {
	case redirects && to.Scheme == "https" && to.Hostname() == u.Hostname():
		return answer{} // it is the server's own
	case redirects:
		return answer{at: u.String(), foreign: true, leads: to.String()}
	case resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusNetworkAuthenticationRequired:
		return answer{at: u.String(), foreign: true}
	}
	return answer{} // an error is no page to sign in on: a proxy whose server is away says one
}

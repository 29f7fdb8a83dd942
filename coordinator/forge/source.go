package forge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/aditmesh/adit/coordinator/events"
)

// Source is where a template's files are.
type Source struct {
	// URL is of the repository: https, or http to addresses that are not the internet's.
	URL string
	// Branch is followed, and Dir is the template's directory in it; "." is its top.
	Branch, Dir string
	// Username and Password are shown to the repository; empty is that none are.
	Username, Password string
	// Private lets it be at an address that is not the internet's.
	Private bool
}

// branchName is what git takes for a branch, and a little less.
var branchName = regexp.MustCompile(`^[^\x00-\x20\x7f~^:?*\[\\@{-][^\x00-\x20\x7f~^:?*\[\\{]{0,199}$`)

// ErrSource is a source that cannot be one.
var ErrSource = errors.New("cannot be followed")

// Check reports what is wrong with a source, as far as can be said without asking it.
func (s Source) Check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil, u.User != nil: // it is not repeated: whoever reads errors may be another
		return fmt.Errorf("%w: want the repository as https://HOST/PATH, without a name and a password in it; 'adit git-credentials set https://HOST' keeps those", ErrSource)
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Fragment != "", u.RawQuery != "", len(s.URL) > 1000:
		return fmt.Errorf("%w: repository %.200q: want https://HOST/PATH", ErrSource, s.URL)
	case !branchName.MatchString(s.Branch) || strings.Contains(s.Branch, "..") || strings.HasPrefix(s.Branch, "/") || strings.HasSuffix(s.Branch, "/"):
		return fmt.Errorf("%w: %.200q is no name of a branch", ErrSource, s.Branch)
	case len(s.Dir) > 500 || s.Dir != path.Clean(s.Dir) || path.IsAbs(s.Dir) || s.Dir == ".." || strings.HasPrefix(s.Dir, "../") || strings.ContainsAny(s.Dir, "\x00\\\r\n:"):
		return fmt.Errorf("%w: %.200q is no directory of a repository", ErrSource, s.Dir)
	}
	return nil
}

// Origin is SCHEME://HOST of its URL, as credentials for it are kept.
func (s Source) Origin() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// resolve returns how git is told where the repository's host is, HOST:PORT:ADDRESS, so
// that it goes there and nowhere else: a name may stand for another address the next
// time it is asked for.
func (s Source) resolve(ctx context.Context) (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", err
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	var list []string
	for _, a := range found {
		switch a = a.Unmap(); {
		case !s.Private && !events.Public(a):
			return "", fmt.Errorf("%s is at %s, which is no address of the internet; the server's --webhook-private allows it", host, a)
		case u.Scheme == "http" && events.Public(a):
			return "", fmt.Errorf("%s is at %s, on the internet, where whoever is on the way could change what http brings; use https", host, a)
		}
		list = append(list, bracketed(a))
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", nil // nothing to resolve
	}
	return host + ":" + port + ":" + strings.Join(list, ","), nil
}

// bracketed writes an address as curl wants it.
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxLabel is how long a label of a host name may be (RFC 1035, section 2.3.4).
const maxLabel = 63

// Address names what of a workspace somebody wants to see: a port, or an app. As the
// first label of a host name it is WHAT--AGENT--WORKSPACE--OWNER.
type Address struct {
	// What is a port's number, with an s behind it if it speaks HTTPS, or an app's slug.
	What                    string
	Agent, Workspace, Owner string
}

// Label is the address as a label; "" if none can be that long or be read again.
func (a Address) Label() string {
	if l := a.segment(); len(l) <= maxLabel {
		return l
	}
	return ""
}

// segment is the address as the first segment of a path, which may be longer.
func (a Address) segment() string {
	l := strings.Join([]string{a.What, a.Agent, a.Workspace, a.Owner}, "--")
	if back, ok := parseLabel(l); !ok || back != a || url.PathEscape(l) != l {
		return ""
	}
	return l
}

func parseLabel(label string) (Address, bool) {
	part := strings.Split(label, "--")
	if len(part) != 4 || strings.Contains(label, "---") {
		return Address{}, false
	}
	for _, p := range part {
		if p == "" {
			return Address{}, false
		}
	}
	return Address{part[0], part[1], part[2], part[3]}, true
}

// Port reads a port; not ok is that the address names an app.
func (a Address) Port() (port uint16, secure, ok bool) {
	digits, secure := strings.CutSuffix(a.What, "s")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), secure, err == nil && n > 0 && digits == strconv.FormatUint(n, 10)
}

// Domain is where addresses are: names, all those one label below it, or, where no
// wildcard can be had, paths of one host.
type Domain struct {
	scheme, suffix, port string // https, .apps.example.com, :8443; the suffix of paths is the host
	paths                bool
}

// ParseDomain reads a URL whose host begins with an asterisk for a label, such as
// https://*.apps.example.com.
func ParseDomain(text string) (*Domain, error) {
	d, name, err := parsePlace(text)
	if err != nil {
		return nil, err
	}
	below, ok := strings.CutPrefix(name, "*.")
	if !ok || below == "" || strings.Contains(below, "*") {
		return nil, fmt.Errorf("%q: want a URL such as https://*.apps.example.com", text)
	}
	d.suffix = "." + below
	return d, nil
}

// ParsePaths reads the URL of a host below which addresses are paths. Its pages are no
// others': what is at a path may read what the host's other paths show.
func ParsePaths(text string) (*Domain, error) {
	d, name, err := parsePlace(text)
	if err != nil {
		return nil, err
	}
	if name == "" || strings.Contains(name, "*") {
		return nil, fmt.Errorf("%q: want a URL such as https://apps.example.com", text)
	}
	d.suffix, d.paths = name, true
	return d, nil
}

func parsePlace(text string) (d *Domain, name string, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, "", fmt.Errorf("%q is no URL: %w", text, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, "", fmt.Errorf("%q: want http or https, a host and nothing more", text)
	}
	d = &Domain{scheme: u.Scheme}
	if p := u.Port(); p != "" && p != defaultPorts[u.Scheme] {
		d.port = ":" + p
	}
	return d, strings.ToLower(u.Hostname()), nil
}

// defaultPorts are those that browsers leave out.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// URL is where a browser finds an address; "" if it has no name here.
func (d *Domain) URL(a Address) string {
	if d == nil {
		return ""
	}
	label := a.Label()
	if d.paths {
		label = a.segment()
	}
	if label == "" {
		return ""
	}
	return d.root(label) + "/"
}

// origin is what browsers call the pages of a label.
func (d *Domain) origin(label string) string {
	if d.paths {
		return d.scheme + "://" + d.host() + d.port
	}
	return d.scheme + "://" + label + d.suffix + d.port
}

// host is the host of paths, as it is in URLs.
func (d *Domain) host() string {
	if strings.Contains(d.suffix, ":") {
		return "[" + d.suffix + "]"
	}
	return d.suffix
}

// base is what the paths of a label begin with.
func (d *Domain) base(label string) string {
	if d.paths {
		return "/" + label
	}
	return ""
}

// root is where the pages of a label begin, without a slash.
func (d *Domain) root(label string) string { return d.origin(label) + d.base(label) }

// has reports whether a request is for what is here, and returns its label, which may
// be none.
func (d *Domain) has(r *http.Request) (label string, ok bool) {
	switch {
	case d == nil:
		return "", false
	case !d.paths:
		return d.label(r.Host)
	}
	host := strings.TrimSuffix(strings.ToLower(r.Host), ":"+defaultPorts[d.scheme])
	if host != d.host()+d.port { // another port may be the dashboard's
		return "", false
	}
	label, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return label, true
}

// Serves reports whether a URL is of the host whose paths addresses are.
func (d *Domain) Serves(u *url.URL) bool {
	_, ok := d.has(&http.Request{Host: u.Host, URL: u})
	return ok
}

// label is the label that a host has below the domain. What is no single label below it
// is not ours.
func (d *Domain) label(host string) (string, bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	l, ok := strings.CutSuffix(strings.ToLower(host), d.suffix)
	return l, ok && l != "" && !strings.Contains(l, ".")
}

package proxy

import (
	"fmt"
	"net"
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
	l := strings.Join([]string{a.What, a.Agent, a.Workspace, a.Owner}, "--")
	if back, ok := parseLabel(l); len(l) > maxLabel || !ok || back != a {
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

// Domain is where addresses are names: all those one label below it.
type Domain struct {
	scheme, suffix, port string // https, .apps.example.com, :8443
}

// ParseDomain reads a URL whose host begins with an asterisk for a label, such as
// https://*.apps.example.com.
func ParseDomain(text string) (*Domain, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no URL: %w", text, err)
	}
	name, ok := strings.CutPrefix(u.Hostname(), "*.")
	if !ok || name == "" || strings.Contains(name, "*") || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q: want a URL such as https://*.apps.example.com", text)
	}
	d := &Domain{scheme: u.Scheme, suffix: "." + strings.ToLower(name)}
	if p := u.Port(); p != "" {
		d.port = ":" + p
	}
	return d, nil
}

// URL is where a browser finds an address; "" if it has no name here.
func (d *Domain) URL(a Address) string {
	if d == nil {
		return ""
	}
	if l := a.Label(); l != "" {
		return d.scheme + "://" + l + d.suffix + d.port + "/"
	}
	return ""
}

// origin is what browsers call the pages of a label.
func (d *Domain) origin(label string) string { return d.scheme + "://" + label + d.suffix + d.port }

// label is the label that a request's host has below the domain. What is no single
// label below it is not ours.
func (d *Domain) label(host string) (string, bool) {
	if d == nil {
		return "", false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	l, ok := strings.CutSuffix(strings.ToLower(host), d.suffix)
	return l, ok && l != "" && !strings.Contains(l, ".")
}

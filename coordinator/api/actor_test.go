package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Rate limits and the audit log go by where a request comes from: always
// somewhere, and never where a stranger says.
func TestWhereRequestsComeFrom(t *testing.T) {
	const proxy, stranger = "10.0.0.1:4711", "192.0.2.7:4711"
	for name, c := range map[string]struct {
		trusted   []string
		peer      string
		forwarded []string
		want      string
	}{
		"no proxies":                        {nil, stranger, nil, "192.0.2.7"},
		"no proxies, a claim":               {nil, stranger, []string{"198.51.100.1"}, "192.0.2.7"},
		"a proxy":                           {[]string{"10.0.0.0/8"}, proxy, []string{"198.51.100.1"}, "198.51.100.1"},
		"two proxies":                       {[]string{"10.0.0.0/8"}, proxy, []string{"198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		"a claim before the proxy's word":   {[]string{"10.0.0.0/8"}, proxy, []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"a claim in a header of its own":    {[]string{"10.0.0.0/8"}, proxy, []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		"past the proxy":                    {[]string{"10.0.0.0/8"}, stranger, []string{"198.51.100.1"}, "192.0.2.7"},
		"the proxy's own":                   {[]string{"10.0.0.0/8"}, proxy, nil, "10.0.0.1"},
		"the proxy talks nonsense":          {[]string{"10.0.0.0/8"}, proxy, []string{"nonsense"}, "10.0.0.1"},
		"a claim before nonsense":           {[]string{"10.0.0.0/8"}, proxy, []string{"203.0.113.9, nonsense"}, "10.0.0.1"},
		"an address of IPv4 within IPv6":    {[]string{"10.0.0.0/8"}, "[::ffff:10.0.0.1]:4711", []string{"198.51.100.1"}, "198.51.100.1"},
		"only proxies have passed it along": {[]string{"10.0.0.0/8"}, proxy, []string{"10.1.1.1"}, "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			req.RemoteAddr = c.peer
			req.Header["X-Forwarded-For"] = c.forwarded
			got := "never served"
			ClientAddr(c.trusted)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = RemoteAddr(r) })).ServeHTTP(httptest.NewRecorder(), req)
			if got != c.want {
				t.Errorf("from %q, want %q", got, c.want)
			}
		})
	}
}

package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func specText(list []portSpec) string {
	var all []string
	for _, s := range list {
		all = append(all, fmt.Sprintf("%s %s to %s", s.network(), s.listen.address(), s.destination()))
	}
	return strings.Join(all, "; ")
}

func TestParsePorts(t *testing.T) {
	for _, c := range []struct{ flag, spec, want string }{
		{"--tcp", "8080", "tcp 127.0.0.1:8080 to port 8080"},
		{"--tcp", "8080:80", "tcp 127.0.0.1:8080 to port 80"},
		{"--tcp", "0:80", "tcp 127.0.0.1:0 to port 80"},
		{"--tcp", "0.0.0.0:8080:80", "tcp 0.0.0.0:8080 to port 80"},
		{"--tcp", "localhost:8080", "tcp localhost:8080 to port 8080"},
		{"--tcp", "[::1]:8080:80", "tcp [::1]:8080 to port 80"},
		{"--tcp", "host.example:1:2", "tcp host.example:1 to port 2"},
		{"--tcp", "my-host:80", "tcp my-host:80 to port 80"},
		{"--tcp", "[2001:db8::1]:65535", "tcp [2001:db8::1]:65535 to port 65535"},
		{"--tcp", "8000-8002:9000-9002", "tcp 127.0.0.1:8000 to port 9000; tcp 127.0.0.1:8001 to port 9001; tcp 127.0.0.1:8002 to port 9002"},
		{"--tcp", "80-81", "tcp 127.0.0.1:80 to port 80; tcp 127.0.0.1:81 to port 81"},
		{"--tcp", "[::]:5-6", "tcp [::]:5 to port 5; tcp [::]:6 to port 6"},
		{"--udp", "5353:53", "udp 127.0.0.1:5353 to UDP port 53"},
		{"--tcp", "2375:/var/run/docker.sock", "tcp 127.0.0.1:2375 to /var/run/docker.sock"},
		{"--tcp", "/tmp/pg:5432", "unix /tmp/pg to port 5432"},
		{"--unix", "/tmp/a:./b", "unix /tmp/a to ./b"},
	} {
		got, err := parsePorts(c.flag, c.spec)
		if err != nil || specText(got) != c.want {
			t.Errorf("%s %s: %s, %v, want %s", c.flag, c.spec, specText(got), err, c.want)
		}
	}
	for flag, specs := range map[string][]string{
		"--tcp": {
			"", ":", "8080:0", "70000", "1:2:3:4", "a:b", "[::1", "1:", "1-2:3", "1-2:3-5", "9-8", "1-65535", "1-2:/sock", "/sock", "a b:1:2", ":80",
		},
		"--udp":  {"/a:1", "1:/a", "x"},
		"--unix": {"1:2", "/a", "/a:1"},
	} {
		for _, spec := range specs {
			if got, err := parsePorts(flag, spec); err == nil {
				t.Errorf("%s %q: %s", flag, spec, specText(got))
			} else if !strings.Contains(err.Error(), flag) {
				t.Errorf("%s %q: %v does not say what is wrong", flag, spec, err)
			}
		}
	}
	if _, err := (portFlags{}).parse(); err == nil {
		t.Error("nothing was taken for something")
	}
	if _, err := (portFlags{tcp: []string{"1-1000", "2001-3000"}}).parse(); err == nil {
		t.Error("two thousand ports were taken")
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"8080:80", "[::1]:1", "1-3:4-6", "/a:1", "1:/a"} {
		f.Add("--tcp", s)
	}
	// What is taken can be listened on and leads somewhere.
	f.Fuzz(func(t *testing.T, flag, spec string) {
		list, err := parsePorts(flag, spec)
		if err != nil {
			return
		}
		for _, p := range list {
			if p.listen.path == "" {
				if _, port, err := net.SplitHostPort(p.listen.address()); err != nil || !isPort(port) && port != "0" {
					t.Errorf("%q listens on %q: %v", spec, p.listen.address(), err)
				}
			}
			if p.to.path == "" && p.to.port == 0 || len(list) > maxForwards {
				t.Errorf("%q gives %+v of %d", spec, p, len(list))
			}
		}
	})
}

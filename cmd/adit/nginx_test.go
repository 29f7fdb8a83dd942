package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// upgrades has nginx let WebSockets through and no other upgrade.
const upgrades = `proxy_buffering off; proxy_read_timeout 1h;
			proxy_set_header Upgrade $passed; proxy_set_header Connection $joined;`

// nginx stands in front of what serves HTTP at an address, as some more says, and keeps
// connections there.
func (d *deployment) nginx(h *netlab.Host, upstream netip.AddrPort, more string) {
	d.t.Helper()
	bin, err := exec.LookPath("nginx")
	if err != nil {
		bin = "/usr/sbin/nginx"
	}
	if _, err := os.Stat(bin); err != nil {
		d.t.Skip("nginx is not installed")
	}
	dir := filepath.Join(d.dir, "nginx")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		d.t.Fatal(err)
	}
	conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; user root; worker_processes auto;
events {}
http {
	access_log off; keepalive_requests 1000000;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	map $http_upgrade $passed { default ""; ~*^websocket$ websocket; }
	map $passed $joined { default close; websocket upgrade; }
	upstream it { server %[3]v; keepalive 64; keepalive_requests 1000000; }
	server {
		listen %[2]v:80;
		location / {
			proxy_pass http://it;
			proxy_http_version 1.1; proxy_set_header Host $host;
			%[4]s
		}
	}
}
`, dir, h.Addr(), upstream, more)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.run(h, "nginx.log", d.program(h, bin, "-c", file))
}

// A proxy in front of a relay may know WebSockets and no other upgrade.
func TestRelaysBehindAProxyAreReachedByWebSocket(t *testing.T) {
	d := newDeployment(t, "--relay=false")
	d.home, d.office = d.lab.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	frankfurt := d.lab.Host("frankfurt")
	d.startServer()
	d.login()
	d.nginx(frankfurt, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8081), upgrades)
	var made sdk.CreatedRelay
	d.json(&made, "relays", "create", "fra", "--region", "eu", "-o", "json")
	relay := d.start(frankfurt, "fra.log", "relay", "--url", d.urlFor(frankfurt), "--token", made.Token, "--data-dir", filepath.Join(d.dir, "fra"),
		"--listen", "127.0.0.1:8081", "--plain-http", "--address", "http://"+frankfurt.Addr().String())
	relay.waitFor("ready in region")
	d.home.Fault(netlab.BlockUDP())
	d.agentToken = d.create("dev")
	d.startAgent()

	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	if line := ping.pingedVia("derp-ws"); line.Path.Region != "eu" {
		t.Errorf("the path is %+v", line.Path)
	}
	session := d.start(d.laptop, "session.log", "ssh", "dev", "--", "cat")
	session.echo("in a WebSocket")
	out, err := d.adit("speedtest", "dev", "-t", "2s", "-o", "json")
	if err != nil || !strings.Contains(out, `"kind": "derp-ws"`) {
		t.Errorf("%v: %s", err, out)
	}
	t.Log(out)
}

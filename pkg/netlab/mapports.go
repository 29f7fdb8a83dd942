package netlab

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/nftables"
)

// PortMapping is a way in which hosts may ask their router to let packets in.
type PortMapping uint8

const (
	// UPnP is the protocol of its Internet Gateway Device.
	UPnP PortMapping = 1 << iota
	// NATPMP is NAT-PMP, and its successor PCP: one daemon answers both.
	NATPMP
)

// mapPortsFor is how long the daemon may take to start.
const mapPortsFor = 10 * time.Second

// MapPorts lets the hosts behind the router have ports of it mapped to them: a
// real miniupnpd answers them until stop is called. It returns the router's
// address for that: the daemon refuses to give out one that is reserved for
// documentation, as the lab's are.
func (r *Router) MapPorts(services PortMapping) (public netip.Addr, stop func()) {
	r.lab.t.Helper()
	daemon, err := exec.LookPath("miniupnpd")
	if err != nil {
		daemon = "/usr/sbin/miniupnpd" // not in everybody's PATH
	}
	last := r.v4.As4()[3]
	public = netip.AddrFrom4([4]byte{20, 0, 0, last})
	wan, err := r.net.LinkByName("wan")
	r.lab.must(err, "interface of %s", r.name)
	r.addAddr(wan, netip.PrefixFrom(public, 32))
	r.uplink.gateway.route(netip.PrefixFrom(public, 32), r.v4)
	r.lab.must(r.Do(addMappingChains), "chains for port mappings of %s", r.name)

	dir := r.lab.t.TempDir()
	conf := filepath.Join(dir, "miniupnpd.conf")
	r.lab.must(os.WriteFile(conf, fmt.Appendf(nil, mapPortsConf, public, yesNo(services&UPnP != 0), yesNo(services&NATPMP != 0)), 0o600),
		"configuration of %s", daemon)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, daemon, "-d", "-f", conf, "-P", filepath.Join(dir, "pid"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	out, w, err := os.Pipe()
	r.lab.must(err, "output of %s", daemon)
	cmd.Stdout, cmd.Stderr = w, w
	err = r.Start(cmd)
	w.Close()
	r.lab.must(err, "start %s (apt-get install miniupnpd-nftables)", daemon)

	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case lines <- s.Text():
			default: // nobody reads any more
			}
		}
	}()
	end := sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait() // killed by us
	})
	r.lab.t.Cleanup(end)
	stop = func() {
		r.lab.t.Helper()
		end()
		// It leaves what it has mapped.
		r.lab.must(r.Do(removeMappingChains), "port mappings of %s", r.name)
	}
	r.awaitMapper(services, lines)
	return public, stop
}

// awaitMapper waits until the daemon listens for the services.
func (r *Router) awaitMapper(services PortMapping, lines <-chan string) {
	r.lab.t.Helper()
	want := map[PortMapping]string{UPnP: "HTTP listening on port", NATPMP: "Listening for NAT-PMP/PCP"}
	for service := range want {
		if services&service == 0 {
			delete(want, service)
		}
	}
	timeout := time.After(mapPortsFor)
	var all []string
	for len(want) > 0 {
		select {
		case line, ok := <-lines:
			if !ok {
				r.lab.t.Fatalf("netlab: miniupnpd on %s ended: %s", r.name, strings.Join(all, "\n"))
			}
			all = append(all, line)
			for service, text := range want {
				if strings.Contains(line, text) {
					delete(want, service)
				}
			}
		case <-timeout:
			r.lab.t.Fatalf("netlab: miniupnpd on %s is not ready: %s", r.name, strings.Join(all, "\n"))
		}
	}
}

// mapPortsConf takes the public address and whether UPnP and NAT-PMP are on.
const mapPortsConf = `ext_ifname=wan
ext_ip=%v
listening_ip=lan
enable_upnp=%s
enable_natpmp=%s
upnp_table_name=mappings
upnp_nat_table_name=mappings
uuid=5f0c1b64-6f62-4d0c-9f1c-0f7a3d1e8a01
secure_mode=yes
ipv6_disable=yes
allow 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// mappingTable holds what the daemon maps.
func mappingTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: "mappings"}
}

func removeMappingChains() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.AddTable(mappingTable()) // so that there is one to delete
	c.DelTable(mappingTable())
	return c.Flush()
}

// addMappingChains makes the chains that the daemon puts its rules into.
func addMappingChains() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(mappingTable())
	c.AddChain(&nftables.Chain{Name: "miniupnpd", Table: table})
	c.AddChain(&nftables.Chain{
		Name: "prerouting_miniupnpd", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	c.AddChain(&nftables.Chain{
		Name: "postrouting_miniupnpd", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	return c.Flush()
}

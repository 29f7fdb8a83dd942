package bench

import (
	"testing"

	"github.com/aditmesh/adit/bench/role"
	"github.com/aditmesh/adit/pkg/netlab"
)

// aditPair is how two nodes of ours are to meet.
type aditPair struct {
	tun, relayOnly bool
	// apart says that UDP leads to the server, but not from one node to the other.
	apart bool
}

func (a aditPair) start(t testing.TB, l *lab) *pair {
	p := &pair{want: "direct"}
	if a.relayOnly {
		p.want = "derp"
		t.Cleanup(l.router.Fault(netlab.BlockUDP()))
	}
	if a.apart {
		p.want = "udp-relay"
		t.Cleanup(l.router.Fault(netlab.BlockUDPWith(l.right.Addr())))
	}
	hosts := l.near()
	conf := role.Config{URL: l.server.url, RootCA: l.server.rootCA, TUN: a.tun, RelayOnly: a.relayOnly}

	conf.Token = l.server.workspace(t)
	agent := startChild(t, hosts[1], l.ends, "adit", conf)
	far := agent.ready()
	p.addr = far.Addr

	conf.Token, conf.Peer = l.server.token, far.ID
	client := startChild(t, hosts[0], l.ends, "adit", conf)
	client.ready()
	client.ready() // linked, too

	both := [2]*child{client, agent}
	for i, c := range both {
		if a.tun {
			p.ends[i] = kernelEnd(t, l, hosts[i], c.pid)
		} else {
			p.ends[i] = &end{host: hosts[i], pids: []int{c.pid}, traffic: c}
		}
	}
	p.path = func() (paths [2]string) {
		for i, c := range both {
			paths[i] = c.ask(role.Request{Do: "path"}).Path
		}
		return paths
	}
	settle(t, p.want+", with an MTU of its own", func() bool {
		for _, c := range both {
			if got := c.ask(role.Request{Do: "path"}); got.Path != p.want || p.want != "derp" && got.MTU <= minMTU {
				return false
			}
		}
		return true
	})
	return p
}

// minMTU is what every path is taken to carry before it is known.
const minMTU = 1280

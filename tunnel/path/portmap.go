package path

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"tailscale.com/net/netmon"
	"tailscale.com/net/portmapper"
	"tailscale.com/net/portmapper/portmappertype"
	"tailscale.com/util/eventbus"
)

const (
	// mappingBegins is how old a node is when it first asks: one that carries a
	// single command out is gone by then, and must not wait for a router to take
	// back what it had no use for. Behind a hard NAT it is asked at once: there
	// may be no other way to a direct path.
	mappingBegins = time.Second

	// mappingLooks is how often routers are asked anew which services they
	// have. Those that have none are not to be bothered more often.
	// A question or its answer may be lost, so the first is asked twice.
	mappingLooks     = 10 * time.Minute
	mappingLooksSoon = time.Second

	// mappingRenews is how often it is seen to that a mapping does not expire:
	// it is renewed when half of its time is over.
	mappingRenews = time.Minute

	// mappingReleases is how long a node that ends waits for the router to
	// take its mapping back: a router that is gone by now never will.
	mappingReleases = time.Second

	// mappingAnswers is how long a router may take to map a port: it is near,
	// and UPnP takes a few small requests.
	mappingAnswers = 500 * time.Millisecond
)

// PortMapping is what a router does for this node when asked.
type PortMapping struct {
	// UPnP, NATPMP and PCP tell which ways of asking it knows.
	UPnP, NATPMP, PCP bool
	// Asked says that the router has had the time to answer.
	Asked bool
	// External is the router's address at which it takes packets for this node;
	// invalid while it does not.
	External netip.AddrPort
}

// offered reports whether the router knows any way of asking it.
func (m PortMapping) offered() bool { return m.UPnP || m.NATPMP || m.PCP }

// portMapper asks the router of this network to pass packets to one port on to
// this node, whoever sends them.
type portMapper struct {
	log    *slog.Logger
	port   func() uint16 // the local port; 0 while there is none
	report func(PortMapping)
	again  chan struct{} // the network or the local port changed
	hurry  chan struct{} // the NAT is hard
	done   chan struct{} // closed when run has ended
}

func newPortMapper(log *slog.Logger, port func() uint16, report func(PortMapping)) *portMapper {
	return &portMapper{
		log: log, port: port, report: report,
		again: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// run asks, renews and reports until ctx is done, and then releases.
func (m *portMapper) run(ctx context.Context) {
	defer close(m.done)
	select {
	case <-ctx.Done():
		return
	case <-m.hurry:
	case <-time.After(mappingBegins):
	}
	bus := eventbus.New()
	defer bus.Close()
	made := make(chan struct{}, 1)
	client := portmapper.NewClient(portmapper.Config{
		EventBus: bus, NetMon: netmon.NewStatic(), // the gateway is looked up anew each time
		Logf:     func(format string, args ...any) { m.log.Debug("port mapping: " + fmt.Sprintf(format, args...)) },
		OnChange: func() { signal(made) },
	})
	defer client.Close() // releases

	var now PortMapping
	var gateway, self netip.Addr
	look := time.NewTimer(mappingLooks)
	defer look.Stop()
	renew := time.NewTicker(mappingRenews)
	defer renew.Stop()
	var asked time.Time // when the router was, if it has not answered
	for {
		looks, first := false, false
		select {
		case <-ctx.Done():
			if left := time.Until(asked.Add(mappingAnswers)); left > 0 {
				// What it is about to give could not be given back.
				select {
				case <-made:
				case <-time.After(left):
				}
			}
			return
		case <-m.again:
			looks, first = true, true
		case <-look.C:
			looks = true
		case <-made:
			asked = time.Time{}
		case <-renew.C:
		}
		if looks {
			look.Reset(mappingLooks)
		}
		if gw, ip, _ := netmon.LikelyHomeRouterIP(); gw != gateway || ip != self {
			client.NoteNetworkDown() // a router that is gone takes nothing back
			gateway, self, now = gw, ip, PortMapping{}
		}
		port := m.port()
		if port == 0 || !gateway.IsValid() {
			m.report(PortMapping{Asked: port != 0})
			continue
		}
		client.SetLocalPort(port)
		if looks {
			found, err := client.Probe(ctx)
			if err != nil {
				found = portmappertype.ProbeResult{}
			}
			now.UPnP, now.NATPMP, now.PCP, now.Asked = found.UPnP, found.PMP, found.PCP, true
			if first && !now.offered() {
				look.Reset(mappingLooksSoon)
			}
		}
		now.External = netip.AddrPort{}
		if now.offered() {
			var ok bool
			now.External, ok = client.GetCachedMappingOrStartCreatingOne()
			if !ok {
				asked = time.Now()
			}
		}
		m.report(now)
	}
}

// wait waits until what was mapped is released, but no longer than that may
// take.
func (m *portMapper) wait() {
	select {
	case <-m.done:
	case <-time.After(mappingReleases):
	}
}

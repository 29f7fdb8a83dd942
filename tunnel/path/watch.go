package path

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/aditmesh/adit/pkg/beat"
)

const (
	// settleFor is how long a change of the network is given to be complete: a
	// new address comes with a link and some routes.
	settleFor = 20 * time.Millisecond

	// changesEvery bounds how often changes are acted on, but for the first
	// changesAtOnce. An interface that flaps costs seven rounds of probing a
	// second, and a laptop that is carried from one network to the next, which
	// is several changes, none of 200 ms.
	changesEvery  = 150 * time.Millisecond
	changesAtOnce = 4

	// A machine that was suspended, or a process that was stopped, finds its
	// clock ahead: looked at every clockEvery, by more than sleptFor. A busy
	// machine delays a goroutine by less, and a NAT keeps its mappings longer.
	clockEvery = time.Second
	sleptFor   = 3 * time.Second
)

// watchNetwork calls changed, from one goroutine, after this machine's
// addresses, links or routes have changed and after it has slept, until ctx is
// done. It owns events; where there are none, only sleep is noticed.
func watchNetwork(ctx context.Context, events *networkEvents, exclude func(netip.Addr) bool, changed func(why string)) {
	happened := make(chan bool, 1) // whether routes are among what did
	if events != nil {
		read := make(chan struct{})
		go func() {
			defer close(read)
			readEvents(events, happened)
		}()
		defer func() {
			events.close()
			<-read
		}()
	}

	clock := beat.NewTimer(clockEvery)
	defer clock.Stop()
	limit := rate.NewLimiter(rate.Every(changesEvery), changesAtOnce)
	looked := time.Now()
	before := describeInterfaces(exclude)
	for {
		var why string
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
			clock.Again()
			// The wall clock goes on while the machine is suspended.
			now := time.Now()
			slept := now.Round(0).Sub(looked.Round(0)) - clockEvery
			looked = now
			if slept < sleptFor {
				continue
			}
			why = fmt.Sprintf("slept for %v", slept.Round(time.Second))
		case routes := <-happened:
			select {
			case <-ctx.Done():
				return
			case <-time.After(settleFor):
			}
			select {
			case more := <-happened:
				routes = routes || more
			default:
			}
			if routes {
				why = "routes"
			}
		}
		now := describeInterfaces(exclude)
		if now != before {
			why = "interfaces"
		}
		before = now
		if why == "" {
			continue // a lifetime was renewed, or the like
		}
		changed(why)
		if limit.Wait(ctx) != nil {
			return
		}
	}
}

// readEvents tells happened of events until they end. What is not taken yet
// gathers.
func readEvents(events *networkEvents, happened chan bool) {
	for {
		routes, err := events.next()
		if err != nil {
			return
		}
		select {
		case before := <-happened:
			routes = routes || before
		default:
		}
		happened <- routes // only this goroutine sends, so there is room
	}
}

// describeInterfaces writes down what of this machine's interfaces matters to
// packets that go far: the addresses of those that run.
func describeInterfaces(exclude func(netip.Addr) bool) string {
	addrs, err := localAddrs(exclude)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, a := range addrs {
		if a.ifc.Flags&net.FlagRunning != 0 && !a.ip.IsLinkLocalUnicast() {
			all = append(all, fmt.Sprintf("%d %v %v", a.ifc.Index, a.ip, a.leaving))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

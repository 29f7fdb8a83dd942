package tunnel

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"github.com/aditmesh/adit/tunnel/path"
)

// A peer costs the WireGuard device two goroutines and queues of some 40 KiB, so
// only those that packets flow to or from are in it. The first packet to a peer
// and the first handshake from one wait until the device knows it, a tenth of a
// millisecond; a session that has been silent for deviceIdle is taken out.

// deviceIdle is how long a peer stays in the device without a packet. WireGuard
// forgets a session's keys after 3 × 180 s anyway (its paper, section 6.3), and
// a handshake brings the next.
const deviceIdle = 9 * time.Minute

// maxActivating bounds the peers that wait to get into the device. For those
// beyond, a packet is lost.
const maxActivating = 1024

// activation is a peer that is to get into the device; done is closed when that
// was tried.
type activation struct {
	at   *path.Peer
	done chan struct{}
}

// activate asks for a peer to be put into the device. It does not block, and is
// called from the device's own goroutines, which must not configure it.
func (n *Node) activate(at *path.Peer) (done <-chan struct{}) {
	a := activation{at, make(chan struct{})}
	select {
	case n.activations <- a:
	default:
		close(a.done)
	}
	return a.done
}

// runActivations puts peers into the device until ctx is done or the node is
// closed.
func (n *Node) runActivations(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.closed:
			return
		case a := <-n.activations:
			if err := n.putIntoDevice(a.at); err != nil {
				n.log.Warn("peer not taken", "err", err)
			}
			close(a.done)
		}
	}
}

func (n *Node) putIntoDevice(at *path.Peer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		if p.path == at && !at.InDevice() {
			return n.programPeer(p)
		}
	}
	return nil // it went meanwhile, or is there already
}

// programPeer tells the WireGuard device about p. n.mu is held.
func (n *Node) programPeer(p *peer) error {
	var conf strings.Builder
	fmt.Fprintf(&conf, "public_key=%x\nendpoint=%s\nreplace_allowed_ips=true\n", p.key, p.path.EndpointString())
	for _, a := range p.addrs {
		fmt.Fprintf(&conf, "allowed_ip=%s/%d\n", a, a.BitLen())
	}
	if err := n.device.IpcSet(conf.String()); err != nil {
		return fmt.Errorf("tunnel: add peer %s to the device: %w", p.id, err)
	}
	p.path.SetInDevice(true)
	return nil
}

// takeFromDevice is programPeer's reverse. n.mu is held.
func (n *Node) takeFromDevice(p *peer) {
	p.path.SetInDevice(false) // from now on packets ask for it again
	n.device.RemovePeer(device.NoisePublicKey(p.key))
}

// retireIdle takes peers out of the device that no packet flowed to or from for
// long.
func (n *Node) retireIdle(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		if p.path != nil && p.path.InDevice() && now.Sub(p.path.LastActive()) >= deviceIdle {
			n.takeFromDevice(p)
		}
	}
}

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/hostnet"
)

// A daemon that was killed, or that another version takes the place of, has left
// connections of this machine's programs: the kernel goes on with them as soon as there is
// an interface with the same address and a tunnel that the peers take for the same. So who
// the node is lies in a file beside the socket for as long as the daemon runs, and until
// the next one. One that ends by itself takes it along.

// kept is the file.
type kept struct {
	// Session and URL are those that the node joined in.
	Session  string          `json:"session"`
	URL      string          `json:"url"`
	Identity tunnel.Identity `json:"identity"`
}

func (d *daemon) identityFile() string { return strings.TrimSuffix(d.cfg.Socket, ".sock") + ".node" }

// recall returns who the last daemon was, if it has left that behind, in the same session;
// else nil.
func (d *daemon) recall() *tunnel.Identity {
	raw, err := os.ReadFile(d.identityFile())
	var k kept
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		d.log.Warn("connections from before end", "err", err)
		return nil
	case k.Session != SessionOf(d.cfg.Client.Token()) || k.URL != d.cfg.Client.URL().String():
		return nil
	}
	return &k.Identity
}

// remember has the next daemon recall who this one's node is.
func (d *daemon) remember(node *tunnel.Node) {
	if err := d.write(kept{SessionOf(d.cfg.Client.Token()), d.cfg.Client.URL().String(), node.Identity()}); err != nil {
		d.log.Warn("connections will end if the daemon is killed", "err", err)
	}
}

func (d *daemon) write(k kept) error {
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	// Whole or not at all, and nobody else's to read.
	tmp := d.identityFile() + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("keep who the node is: %w", err)
	}
	return os.Rename(tmp, d.identityFile())
}

func (d *daemon) forget() {
	if err := os.Remove(d.identityFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("who the node was stays on the disk", "err", err)
	}
}

// leave ends the node: for good, unless another daemon is about to become it.
func (d *daemon) leave(node *tunnel.Node) {
	if errors.Is(context.Cause(d.ctx), errYield) {
		_ = node.Suspend()
		return
	}
	_ = node.Close()
	d.forget()
}

// adopt has connections go on that programs had by the daemon before. The kernel knows
// them, and they can only be of this machine's making: no daemon lets anybody in. All else
// that peers were linked for is given up.
func (d *daemon) adopt(node *tunnel.Node) {
	list, _ := hostnet.Connections() // none where the system does not tell
	d.mu.Lock()
	self, self4 := d.self, d.self4
	peer4 := make(map[netip.Addr]netip.Addr, len(d.fourth))
	for a6, a4 := range d.fourth {
		peer4[a4] = a6
	}
	d.mu.Unlock()
	var ours []tunnel.Connection
	for _, c := range list {
		peer := c.Remote.Addr()
		switch c.Local.Addr() {
		case self:
		case self4:
			if peer = peer4[peer]; !peer.IsValid() {
				continue
			}
			d.gate.Adopt(c, peer)
		default:
			continue
		}
		ours = append(ours, tunnel.Connection{Peer: netip.AddrPortFrom(peer, c.Remote.Port()), Local: c.Local.Port()})
	}
	node.Adopt(ours)
	d.log.Info("connections from before go on", "count", len(ours))
	used := make(map[string]bool)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.open {
		used[id] = true
	}
	for _, c := range ours {
		if h := d.hosts[c.Peer.Addr()]; h != nil && !used[h.ID] {
			used[h.ID] = true
			d.greetLocked(node, h.Addr)
		}
	}
	for _, p := range node.Peers() {
		if !used[p.ID] {
			node.Release(p.ID)
		}
	}
}

// greetLocked makes a tunnel and sends an echo through it: the peer may be the one with
// something to say, which WireGuard's session from before is of no use for.
func (d *daemon) greetLocked(node *tunnel.Node, addr netip.Addr) {
	if d.ending {
		return
	}
	d.wg.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, connectFor)
		defer cancel()
		if d.connect(ctx, addr) == nil {
			_, _ = d.ping(ctx, node, addr) // it need not be answered
		}
	})
}

// connectedTo are the addresses that programs of this machine have connections to.
func connectedTo() (map[netip.Addr]bool, bool) {
	list, known := hostnet.Connections()
	all := make(map[netip.Addr]bool, len(list))
	for _, c := range list {
		all[c.Remote.Addr()] = true
	}
	return all, known
}

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

const (
	mebibyte = 1 << 20

	// relayedAtMost is how much may pass between a client and the relay while
	// all its bulk goes directly: the control session, a few pings.
	relayedAtMost = 64 << 10

	// bulkWithin is ten times what 1 MiB takes on a busy machine, and less than
	// a single timeout of the tunnel's handshake.
	bulkWithin = 4 * time.Second
)

// underlay is a network that a tunnel crosses.
type underlay struct {
	// link is the size of its largest packet of IP, and inside that of the
	// largest packet in the tunnel: less by the headers of IP, UDP and
	// WireGuard, and rounded down to what WireGuard pads to.
	link, inside int
	// swallowed says that nobody is told what does not fit.
	swallowed bool
}

// Neither end is on the narrow network: it lies between home's router and the
// internet.
func TestOneMiBEachWayOverNarrowPaths(t *testing.T) {
	d := newDeployment(t)
	carrier := d.lab.Router("carrier", netlab.NoNAT)
	d.home, d.office = carrier.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	d.up()
	for _, u := range []underlay{
		{link: 1400, inside: 1328}, {link: 1280, inside: 1216},
		{link: 1400, inside: 1328, swallowed: true}, {link: 1280, inside: 1216, swallowed: true},
	} {
		t.Run(fmt.Sprintf("link %d, swallowed %v", u.link, u.swallowed), func(t *testing.T) {
			carrier.SetMTU(u.link)
			if u.swallowed {
				for _, r := range []*netlab.Router{carrier, d.home} {
					defer r.Fault(netlab.SwallowTooBig(uint16(u.link)))()
				}
			}
			d.carriesOneMiB(t, u, d.home.Addr(), d.office.Addr())
		})
	}
}

// The least that IPv6 allows leaves less than that inside the tunnel.
func TestOneMiBEachWayOverTheLeastOfIPv6(t *testing.T) {
	d := newDeployment(t, "--listen", "[::]:7080")
	carrier := d.lab.Router("carrier", netlab.NoNAT)
	d.home, d.office = carrier.Router("home", netlab.PortRestricted), d.lab.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv6Only()
	d.devbox.IPv6Only()
	d.up()
	carrier.SetMTU(1280)
	d.carriesOneMiB(t, underlay{link: 1280, inside: 1200}, d.laptop.Addr6(), d.devbox.Addr6())
}

func TestJumboFramesAreUsedWhereThePathCarriesThem(t *testing.T) {
	d := newDeployment(t)
	carrier := d.lab.Router("carrier", netlab.NoNAT)
	d.home, d.office = carrier.Router("home", netlab.PortRestricted), carrier.Router("office", netlab.PortRestricted)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only()
	for _, r := range []*netlab.Router{carrier, d.home, d.office} {
		r.SetMTU(9000)
	}
	d.up()
	d.carriesOneMiB(t, underlay{link: 9000, inside: 8928}, d.home.Addr(), d.office.Addr())
}

// carriesOneMiB sends 1 MiB each way through SSH and through a forwarded port,
// over direct paths of the size wanted that lead from the devbox to near and back
// to far.
func (d *deployment) carriesOneMiB(t *testing.T, u underlay, near, far netip.Addr) {
	d = d.in(t)
	for _, h := range []*netlab.Host{d.laptop, d.devbox} {
		h.SinglePackets()
	}
	ping := d.start(d.laptop, "ping.log", "ping", "dev", "-i", "50ms", "-o", "json")
	want := tunnel.Path{Kind: "direct", MTU: u.inside}
	var line pingLine
	ping.waitLine(fmt.Sprintf("%+v", want), func(text string) bool {
		line = pingLine{}
		return json.Unmarshal([]byte(text), &line) == nil && line.Path.Kind == want.Kind && line.Path.MTU == want.MTU
	})
	if at := netip.MustParseAddrPort(line.Path.Addr).Addr(); at != far {
		t.Errorf("ping goes to %v, want %v", at, far)
	}
	ping.stop()

	t.Run("ssh", func(t *testing.T) {
		d := d.in(t)
		cmd := d.command(d.laptop, "ssh", "dev", "--", "cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.laptop.Start(cmd); err != nil {
			t.Fatal(err)
		}
		d.echoesOneMiB(u, near, func() (io.WriteCloser, io.Reader) { return in, out })
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("port-forward", func(t *testing.T) {
		d := d.in(t)
		echo := echoServer(t, d.devbox)
		p := d.start(d.laptop, "port-forward.log", "port-forward", "dev", "--tcp", fmt.Sprintf("9000:%d", echo.Port()))
		p.waitFor("Forwarding 127.0.0.1:9000")
		// A connection keeps to the size that the path had when it was opened.
		mean := d.echoesOneMiB(u, near, func() (io.WriteCloser, io.Reader) {
			var conn net.Conn
			if err := d.laptop.Do(func() (err error) {
				conn, err = net.Dial("tcp", "127.0.0.1:9000")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return halfCloser{conn.(*net.TCPConn)}, conn
		})
		if mean < u.link/2 {
			t.Errorf("packets of %d bytes on the average, over a link of %d", mean, u.link)
		}
		p.stop()
	})
}

// echoesOneMiB sends 1 MiB to something in the workspace that sends it back, once
// the only link is direct both ways with packets of the size wanted. All of it must
// go that way and come back whole. It returns the mean size of the packets.
func (d *deployment) echoesOneMiB(u underlay, near netip.Addr, open func() (io.WriteCloser, io.Reader)) (mean int) {
	d.t.Helper()
	d.linked("dev", fmt.Sprintf("direct both ways with an mtu of %d", u.inside), func(c sdk.Connection) bool {
		return c.ByClient.Path == "direct" && c.ByClient.MTU == u.inside && c.ByAgent.Path == "direct" && c.ByAgent.MTU == u.inside
	})
	wire := d.devbox.Capture()
	in, out := open()
	data := make([]byte, mebibyte)
	rand.Read(data)
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := in.Write(data)
		sent <- errors.Join(err, in.Close())
	}()
	got, err := io.ReadAll(out)
	took := time.Since(began)
	if err := errors.Join(err, <-sent); err != nil {
		d.t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		d.t.Errorf("%d bytes came back changed", len(got))
	}
	if took > bulkWithin {
		d.t.Errorf("took %v", took)
	}

	relayed := 0
	there, back := netlab.Seen{}, netlab.Seen{}
	for f, s := range wire.Stop() {
		switch {
		case f.Src.Addr().IsLoopback():
		case !f.UDP:
			relayed += s.Bytes
		case f.Src.Addr() == near:
			add(&there, s)
		case f.Dst.Addr() == near:
			add(&back, s)
		}
	}
	d.t.Logf("1 MiB there and back in %v; %d and %d packets, the largest of %d and %d bytes of UDP payload; %d bytes over TCP",
		took.Round(time.Millisecond), there.Packets, back.Packets, there.Largest, back.Largest, relayed)
	if there.Bytes < mebibyte || back.Bytes < mebibyte || relayed > relayedAtMost {
		d.t.Errorf("%d bytes came from %v, %d went there, and %d passed over TCP", there.Bytes, near, back.Bytes, relayed)
	}
	return (there.Bytes + back.Bytes) / max(1, there.Packets+back.Packets)
}

func add(sum *netlab.Seen, s netlab.Seen) {
	sum.Packets += s.Packets
	sum.Bytes += s.Bytes
	sum.Largest = max(sum.Largest, s.Largest)
}

// halfCloser closes the sending half of a connection.
type halfCloser struct{ *net.TCPConn }

func (c halfCloser) Close() error { return c.CloseWrite() }

// echoServer sends back whatever is sent to a port of a host.
func echoServer(t *testing.T, h *netlab.Host) netip.AddrPort {
	t.Helper()
	var l net.Listener
	if err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

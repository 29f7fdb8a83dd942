package path

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"tailscale.com/disco"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
)

func wireGuard(kind uint32, size int) []byte {
	b := make([]byte, size)
	binary.LittleEndian.PutUint32(b, kind)
	return b
}

func TestClassify(t *testing.T) {
	self, peer := key.NewDisco(), key.NewDisco()
	sealed := sealDisco(self.Public(), self.Shared(peer.Public()), &disco.Ping{})
	for name, tt := range map[string]struct {
		packet []byte
		want   packetKind
	}{
		"initiation":           {wireGuard(wgInitiation, wgInitiationLen), kindWireGuard},
		"response":             {wireGuard(wgResponse, wgResponseLen), kindWireGuard},
		"cookie":               {wireGuard(wgCookieReply, wgCookieReplyLen), kindWireGuard},
		"keepalive":            {wireGuard(wgTransport, wgTransportMinLen), kindWireGuard},
		"data":                 {wireGuard(wgTransport, 1400), kindWireGuard},
		"disco":                {sealed, kindDisco},
		"STUN request":         {stun.Request(stun.NewTxID()), kindSTUN},
		"STUN response":        {stun.Response(stun.NewTxID(), netip.MustParseAddrPort("192.0.2.1:1")), kindSTUN},
		"nothing":              {nil, kindGarbage},
		"short initiation":     {wireGuard(wgInitiation, wgInitiationLen-1), kindGarbage},
		"short data":           {wireGuard(wgTransport, wgTransportMinLen-1), kindGarbage},
		"no WireGuard type":    {wireGuard(5, 200), kindGarbage},
		"reserved bytes set":   {wireGuard(wgTransport|1<<8, 200), kindGarbage},
		"magic and no more":    {[]byte(disco.Magic), kindGarbage},
		"truncated disco":      {sealed[:discoOverhead-1], kindGarbage},
		"text":                 {[]byte("GET / HTTP/1.1\r\n\r\n"), kindGarbage},
		"STUN without a magic": {make([]byte, 20), kindGarbage},
	} {
		if got := classify(tt.packet); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// The demultiplexer agrees with the decoders: what a decoder accepts was
// called by its name, and no packet is taken by two.
func FuzzClassify(f *testing.F) {
	self, peer := key.NewDisco(), key.NewDisco()
	shared := peer.Shared(self.Public())
	f.Add(sealDisco(self.Public(), self.Shared(peer.Public()), &disco.Pong{Src: netip.MustParseAddrPort("192.0.2.1:1")}))
	f.Add(stun.Request(stun.NewTxID()))
	f.Add(wireGuard(wgInitiation, wgInitiationLen))
	f.Add(wireGuard(wgTransport, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind := classify(b)
		if _, _, err := stun.ParseResponse(b); err == nil && kind != kindSTUN {
			t.Errorf("a STUN response is called %v", kind)
		}
		if _, err := stun.ParseBindingRequest(b); err == nil && kind != kindSTUN {
			t.Errorf("a STUN request is called %v", kind)
		}
		if _, _, err := openDisco(shared, b); err == nil && kind != kindDisco {
			t.Errorf("a disco frame is called %v", kind)
		}
		if kind == kindDisco {
			if _, ok := discoSender(b); !ok {
				t.Error("a disco frame names no sender")
			}
		}
	})
}

// Opening whatever a peer that holds the right key may have sealed never
// panics, and what parses is written back to something that parses.
func FuzzOpenDisco(f *testing.F) {
	self, peer := key.NewDisco(), key.NewDisco()
	for _, m := range []disco.Message{
		&disco.Ping{TxID: [12]byte{1}, NodeKey: key.NewNode().Public(), Padding: 3},
		&disco.Pong{TxID: [12]byte{2}, Src: netip.MustParseAddrPort("[2001:db8::1]:9")},
		&disco.CallMeMaybe{MyNumber: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}},
	} {
		f.Add(m.AppendMarshal(nil))
	}
	out, in := self.Shared(peer.Public()), peer.Shared(self.Public())
	f.Fuzz(func(t *testing.T, plain []byte) {
		frame := append([]byte(disco.Magic), self.Public().AppendTo(nil)...)
		frame = append(frame, out.Seal(plain)...)
		msg, _, err := openDisco(in, frame)
		if err != nil {
			if !errors.Is(err, errDisco) {
				t.Errorf("error %v does not match errDisco", err)
			}
			return
		}
		switch msg.(type) {
		case *disco.Ping, *disco.Pong, *disco.CallMeMaybe:
		default:
			return // nobody here speaks these; some are read though they are cut short
		}
		again, _, err := openDisco(in, sealDisco(self.Public(), out, msg))
		if err != nil || !bytes.Equal(again.AppendMarshal(nil), msg.AppendMarshal(nil)) {
			t.Errorf("%#v came back as %#v (%v)", msg, again, err)
		}
	})
}

func TestDiscoFromAStrangerDoesNotOpen(t *testing.T) {
	self, peer, eve := key.NewDisco(), key.NewDisco(), key.NewDisco()
	frame := sealDisco(self.Public(), eve.Shared(peer.Public()), &disco.Ping{}) // in self's name, with eve's key
	if _, _, err := openDisco(peer.Shared(self.Public()), frame); !errors.Is(err, errDisco) {
		t.Errorf("got %v, want errDisco", err)
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	packet := wireGuard(wgTransport, 1400)
	if n := testing.AllocsPerRun(1000, func() { classify(packet) }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func BenchmarkClassify(b *testing.B) {
	packet := wireGuard(wgTransport, 1400)
	for b.Loop() {
		classify(packet)
	}
}

// Package path carries WireGuard's packets to peers over the best path there
// is: direct UDP where a direct path exists, a relay while none does.
//
// A [Bind] is a conn.Bind whose endpoints are peers, not addresses. The
// WireGuard device above it never learns that a packet took a relay, or that
// the path changed between two packets of one session.
//
// # Duties of the caller
//
// Make a Bind with [New], hand it to device.NewDevice, and bring the device
// up: the device calls Open and Close. Around that:
//
//   - call SetRelays whenever the coordinator sends a relay map,
//   - call SetPeer for each peer before configuring it in the device, with
//     [Peer.EndpointString] as its endpoint, and RemovePeer after removing it
//     from the device,
//   - read [Config.OnSelf] calls and pass them on to the coordinator, so that
//     peers learn how to reach this node,
//   - call Shutdown last. Close alone only closes the sockets; wireguard-go
//     does that on every port change.
//
// Buffers given to Send are copied before it returns. Receive functions write
// into the device's own buffers.
//
// # How it works
//
// Bytes that arrive on a UDP socket are told apart by their first bytes
// ([classify]): WireGuard goes up to the device, disco and STUN are answered
// or consumed here. For each peer a [machine], a pure function from events to
// actions, keeps candidates, which are ways to reach the peer, decides when to
// ping them, and moves the peer between relay, direct and doubt; the engine
// performs its actions. What a packet is to do, the machine says in a [route].
// One [link] a relay region carries frames over DERP.
//
// How this node can be reached finds the [prober]: from its interfaces
// (interfaces.go), from relays that answer STUN, from peers that saw it, and from
// the router, which may map a port ([portMapper]). A watcher (watch.go) notices
// when the network changes or the machine has slept, and has the prober, the
// links and every machine begin anew.
//
// Four questions about a way have a file each: how large its packets may be
// (mtu.go), whether it carries data and not only pings (verify.go), how to find
// one through a hard NAT (birthday.go, ports.go), and what to do while it is in
// doubt (machine.go): small packets then take every way at once.
package path

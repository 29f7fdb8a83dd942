// Package tunnel is a node of the mesh: a WireGuard device in the process,
// the paths its packets take, the stack they come out of, and the control
// session by which the coordinator tells it about its peers.
//
// [Start] joins; [Node.Close] leaves. Between the two, the node keeps itself
// joined: a broken control session is made anew with a growing pause, while
// tunnels go on as they are. Only a refusal that time does not heal ends a
// node by itself; then Done is closed and Err says why.
//
// Bytes flow through these layers, none of which knows the one above it:
//
//	netstack   TCP, UDP and ICMP of the mesh address
//	filter     what peers may send us (filter.go)
//	device     golang.zx2c4.com/wireguard: one peer, one key, one address
//	path       direct UDP or relay, peer by peer
//
// Coordination is in control.go: what the coordinator says becomes the peer
// table (peers.go), and the peer table is programmed into the device before
// the coordinator hears that it is.
package tunnel

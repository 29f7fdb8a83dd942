// Package hostnet lays a mesh node into the machine's own network: an interface
// with the node's address, the route to the mesh, and the resolver's settings for
// the mesh's names.
//
// [Open] makes the [Interface], which is a tun.Device for the node to own.
// [Interface.SetAddress] gives it the address that the coordinator chose, and
// [OpenResolver] has the machine ask the mesh's responder for the mesh's names.
// Interface, addresses and routes go with the process that made them, however that
// ends. What the resolver needs lives longer where it is a line of a file:
// [RestoreResolver] takes that out, whoever has left it there.
//
// [Gate] stands between the interface and the node: packets to peers that there is
// no tunnel to yet wait in it.
package hostnet

// Package daemon is the program behind "adit up": a mesh node on an interface of
// the machine, names for the workspaces that may be reached, and tunnels to those
// that are used.
//
// [Run] is the daemon, from start to end. Beside the node, goroutines of one
// purpose each: follow.go keeps the names in line with the coordinator's
// workspaces, needs.go makes and drops tunnels, and local.go answers programs of
// the same user over a unix socket. [Client] is the other end of that socket.
package daemon

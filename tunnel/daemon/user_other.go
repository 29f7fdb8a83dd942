//go:build !linux && !darwin

package daemon

import "net"

// systemRunDir is none: what a user starts is the user's.
func systemRunDir() string { return "" }

// peerUser returns nobody in particular: the socket's permissions alone say who may
// open it.
func peerUser(net.Conn) (int, error) { return 0, nil }

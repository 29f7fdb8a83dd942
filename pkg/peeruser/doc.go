// Package peeruser says whose program is at the other end of a unix socket.
package peeruser

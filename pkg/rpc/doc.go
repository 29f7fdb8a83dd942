// Package rpc carries gRPC over one WebSocket, so that a control stream needs
// no port of its own and passes every proxy that passes the HTTPS API.
//
// A client calls [Dial], which opens the WebSocket at once and speaks gRPC on
// that one connection. Nothing reconnects behind the caller's back: when the
// connection breaks, its streams fail, and the caller dials again.
//
// A server mounts [Server.Handler] on a path. The bearer token is checked
// before the upgrade, and what the check returns is found again in each RPC
// with [Identity].
package rpc

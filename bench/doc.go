// Package bench measures adit beside what it is to beat, on one lab, in one
// run, turn by turn: raw TCP, wireguard-go, tailscaled, tsnet and derper.
//
// Relays are measured as such, too, by clients that have no tunnel (relays.go): "make
// bench-relays" writes docs/relay-benchmarks.md.
//
// It is a test, so that the lab has one to belong to; "make bench" at the root
// of the repository runs it and writes docs/benchmarks.md. Each end of a tunnel
// is a process of its own: a program under comparison, or this one again in a
// role (child.go). A subject (subject.go) knows how to bring a pair of ends up;
// what is measured of a pair has a file each. It is a module of its own, so that
// what the competitors need stays out of adit's.
package bench

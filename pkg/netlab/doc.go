// Package netlab builds networks to test in: hosts, routers that translate
// addresses in the ways real ones do, and the faults that real ones have. They
// are network namespaces of this machine, joined by virtual cables; nothing
// leaves it.
//
//	lab := netlab.New(t)
//	server := lab.Host("server")                       // 198.51.100.10
//	home := lab.Router("home", netlab.PortRestricted)  // 198.51.100.11
//	laptop := home.Host("laptop")                      // 192.168.1.10
//	office := lab.Router("office", netlab.Hard)        // 198.51.100.12
//	devbox := office.Host("devbox")                    // 192.168.2.10
//
//	             ┌────────── internet ──────────┐
//	             │              │               │
//	          server          home            office
//	                            │               │
//	                          laptop          devbox
//
// Programs run on a host with [Host.Command] and [Node.Start], and Go code
// with [Node.Do]. Faults are set with [Node.Fault] and healed again; whatever
// the test forgot ends with it. Errors of the lab itself end the test: a rule
// that was not set must never pass for a network that works.
//
// A lab needs root; elsewhere [New] skips the test. Labs of several tests and
// processes do not meet: names carry the process id, and New removes what
// processes that are gone have left.
package netlab

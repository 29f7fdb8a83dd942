package names

import (
	"net/netip"
	"strings"
	"sync/atomic"
)

// Host is an agent of a workspace.
type Host struct {
	// ID is its node's.
	ID                      string
	Agent, Workspace, Owner string
	// Addr is its mesh address. Addr4 is what stands for it in IPv4; invalid if
	// nothing does.
	Addr, Addr4 netip.Addr
}

// Name is the host's full name, without the suffix.
func (h Host) Name() string { return h.Agent + "." + h.Workspace + "." + h.Owner }

// Table is the names and addresses there are. Its methods may be called
// concurrently.
type Table struct{ now atomic.Pointer[index] }

// index is what a table holds. It does not change.
type index struct {
	names  map[string]*Host // nil for a name that exists and has no address
	byAddr map[netip.Addr]*Host
}

// Set replaces what there is. Workspaces of me are called without their owner, too.
// A workspace of several agents has no address of its own: nobody can tell which is
// meant.
func (t *Table) Set(me string, hosts []Host) {
	i := &index{names: make(map[string]*Host, 3*len(hosts)), byAddr: make(map[netip.Addr]*Host, 2*len(hosts))}
	for n := range hosts {
		h := &hosts[n]
		i.names[lower(h.Name())] = h
		i.byAddr[h.Addr] = h
		if h.Addr4.IsValid() {
			i.byAddr[h.Addr4] = h
		}
		short := []string{lower(h.Workspace + "." + h.Owner)}
		if h.Owner == me {
			short = append(short, lower(h.Workspace))
		}
		for _, name := range short {
			if _, taken := i.names[name]; taken {
				i.names[name] = nil
			} else {
				i.names[name] = h
			}
		}
	}
	for _, h := range hosts {
		if owner := lower(h.Owner); i.names[owner] == nil {
			i.names[owner] = nil // it exists
		}
	}
	t.now.Store(i)
}

func lower(s string) string { return strings.ToLower(s) }

// Lookup returns the host of a name without the suffix; nil for a name that only
// other names end in. It reports whether there is such a name.
func (t *Table) Lookup(name string) (*Host, bool) {
	i := t.now.Load()
	if i == nil {
		return nil, false
	}
	h, ok := i.names[lower(name)]
	return h, ok
}

// Reverse returns the host that has an address, or nil.
func (t *Table) Reverse(addr netip.Addr) *Host {
	i := t.now.Load()
	if i == nil {
		return nil
	}
	return i.byAddr[addr]
}

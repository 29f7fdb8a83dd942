package tunnel

import (
	"testing"

	"pgregory.net/rapid"
	"tailscale.com/types/ipproto"
)

func tcpFlow(port uint16) flow { return flow{peerPort: 22, localPort: port, proto: ipproto.TCP} }

// However many there are, those that are closed are forgotten first, and then those that
// were silent for longest.
func TestFlowsAreForgottenInTheirOrder(t *testing.T) {
	f := newFlows(4)
	for port := range uint16(4) {
		f.begin(tcpFlow(port), 0)
	}
	f.ours(tcpFlow(0))
	f.closing(tcpFlow(3), finIn)
	if f.closing(tcpFlow(2), finIn); !f.ours(tcpFlow(2)) {
		t.Fatal("a connection ended with one of its halves")
	}
	if f.closing(tcpFlow(2), finOut); !f.ours(tcpFlow(2)) {
		t.Fatal("the last segment of a connection is kept out")
	}
	for i, want := range []uint16{2, 1, 3, 0} {
		f.begin(tcpFlow(uint16(10+i)), 0)
		if _, known := f.at[tcpFlow(want)]; known || len(f.at) != 4 {
			t.Errorf("after %d more: %v, with %d", i+1, f.at, want)
		}
	}
	f.begin(tcpFlow(11), 0) // the ports of one that is closed are used again
	f.closing(tcpFlow(11), over)
	f.begin(tcpFlow(11), 0)
	f.begin(tcpFlow(20), 0)
	if !f.ours(tcpFlow(11)) {
		t.Error("a connection that was opened anew counts as closed")
	}
}

// Flows are what a plain list of them would be, in which the one used last is first.
func TestFlowsAreAsAListOfThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 5
		f, list := newFlows(most), []known{}
		find := func(which flow) int {
			for i, k := range list {
				if k.flow == which {
					return i
				}
			}
			return -1
		}
		use := func(k known) {
			if i := find(k.flow); i >= 0 {
				list = append(list[:i], list[i+1:]...)
			} else if len(list) == most {
				list = list[:most-1]
			}
			list = append([]known{k}, list...)
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				which := tcpFlow(rapid.Uint16Range(0, 9).Draw(t, "port"))
				f.begin(which, 0)
				use(known{flow: which})
			},
			"join": func(t *rapid.T) {
				which, state := tcpFlow(rapid.Uint16Range(0, 9).Draw(t, "port")), rapid.SampledFrom([]flowState{0, theirs}).Draw(t, "sender")
				if i := find(which); i >= 0 {
					use(known{flow: which, state: list[i].state})
				} else {
					use(known{flow: which, state: state})
				}
				if got := f.joinOrBegin(which, state); got != list[0].state {
					t.Fatalf("%v, want %v", got, list[0].state)
				}
			},
			"close": func(t *rapid.T) {
				which := tcpFlow(rapid.Uint16Range(0, 9).Draw(t, "port"))
				f.closing(which, over)
				if i := find(which); i >= 0 {
					k := list[i]
					k.state |= over
					list = append(append(list[:i], list[i+1:]...), k)
				}
			},
			"": func(t *rapid.T) {
				at := f.all[0].next
				for _, k := range list {
					if f.all[at].flow != k.flow || f.all[at].state != k.state || f.at[k.flow] != at {
						t.Fatalf("%+v, want %+v", f.all[at], k)
					}
					at = f.all[at].next
				}
				if at != 0 || len(f.at) != len(list) {
					t.Fatalf("%d flows, want %d", len(f.at), len(list))
				}
			},
		})
	})
}

// What is known is bounded, and so is what it costs: a packet allocates nothing, be it the
// first of a flow or not.
func TestFlowsDoNotAllocate(t *testing.T) {
	f := newFlows(64)
	port := uint16(0)
	use := func() {
		port++
		f.begin(tcpFlow(port), 0)
		f.ours(tcpFlow(port))
		f.joinOrBegin(tcpFlow(port-1), theirs)
		f.closing(tcpFlow(port), over)
	}
	for range 1000 {
		use()
	}
	if n := testing.AllocsPerRun(10_000, use); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

package mesh

import (
	"slices"
	"sync"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// outbox holds what waits to be sent on one session. A newer message about the
// same thing takes the place of the older, so a reader that is slow, or stuck,
// costs no more than three messages for each of its peers: that it is gone, and
// then that it is back, with its policy. "Gone" is never skipped, for a node
// must know that it starts anew with the peer.
type outbox struct {
	wake chan struct{} // has a value when there is something to send

	mu    sync.Mutex // guards what follows
	order []string
	msgs  map[string]*meshv1.Down
	ended bool
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1)}
}

// put adds a message; with end it is the last.
func (o *outbox) put(m *meshv1.Down, end bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	k := subject(m)
	if p := m.GetPeer(); p.GetState() == meshv1.Peer_GONE {
		o.drop("peer "+p.GetId(), "policy "+p.GetId())
	}
	if o.msgs[k] == nil {
		o.order = append(o.order, k)
	}
	if o.msgs == nil {
		o.msgs = make(map[string]*meshv1.Down)
	}
	o.msgs[k] = m
	o.ended = end
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// drop takes back what has not been sent. o.mu is held.
func (o *outbox) drop(subjects ...string) {
	for _, k := range subjects {
		if o.msgs[k] != nil {
			delete(o.msgs, k)
			o.order = slices.DeleteFunc(o.order, func(s string) bool { return s == k })
		}
	}
}

// take returns all that waits and whether that is the last.
func (o *outbox) take() (msgs []*meshv1.Down, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.order {
		msgs = append(msgs, o.msgs[k])
	}
	o.order, o.msgs = nil, nil // an idle one keeps nothing
	return msgs, o.ended
}

// subject names what a message is about.
func subject(m *meshv1.Down) string {
	switch m := m.GetMsg().(type) {
	case *meshv1.Down_Peer:
		if m.Peer.GetState() == meshv1.Peer_GONE {
			return "gone " + m.Peer.GetId()
		}
		return "peer " + m.Peer.GetId()
	case *meshv1.Down_Policy:
		return "policy " + m.Policy.GetPeer()
	case *meshv1.Down_Error:
		return "error " + m.Error.GetPeer()
	case *meshv1.Down_Relays:
		return "relays"
	default:
		return "welcome"
	}
}

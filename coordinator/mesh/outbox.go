package mesh

import (
	"slices"
	"sync"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// maxWaiting bounds what waits for one session. All that there is to tell a node of
// its links fits; who asks without end and does not read is not waited for.
const maxWaiting = 3*maxLinks + 64

// outbox holds what waits to be sent on one session. A newer message about the
// same thing takes the place of the older, so a reader that is slow, or stuck,
// costs no more than three messages for each of its peers: that it is gone, and
// then that it is back, with its policy. "Gone" is never skipped, for a node
// must know that it starts anew with the peer.
//
// It sends by a goroutine that lives for as long as there is something to send:
// of thousands of silent nodes each costs the one that reads.
type outbox struct {
	send   func(*meshv1.Down) error
	hangUp func() // called once the last message is sent, or nobody reads
	sender sync.WaitGroup

	mu      sync.Mutex // guards what follows
	order   []string
	msgs    map[string]*meshv1.Down
	ended   bool // there was a last one
	sending bool // there is a sender, or sending has failed for good
}

func newOutbox(send func(*meshv1.Down) error, hangUp func()) *outbox {
	return &outbox{send: send, hangUp: hangUp}
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
	if len(o.order) >= maxWaiting && o.msgs[k] == nil {
		o.ended, o.order, o.msgs = true, nil, nil
		o.hangUp()
		return
	}
	if o.msgs[k] == nil {
		o.order = append(o.order, k)
	}
	if o.msgs == nil {
		o.msgs = make(map[string]*meshv1.Down)
	}
	o.msgs[k] = m
	o.ended = end
	if !o.sending {
		o.sending = true
		o.sender.Go(o.sendAll)
	}
}

// sendAll sends until nothing waits.
func (o *outbox) sendAll() {
	for {
		msgs, last := o.take()
		for _, m := range msgs {
			if o.send(m) != nil {
				return // the stream is over, and its reader sees it, too
			}
		}
		if last {
			o.hangUp()
		}
		if len(msgs) == 0 {
			return
		}
	}
}

// close ends the outbox. What waits is sent if the last message is among it.
// After close nothing is sent any more.
func (o *outbox) close() {
	o.mu.Lock()
	if !o.ended {
		o.ended, o.order, o.msgs = true, nil, nil
	}
	o.mu.Unlock()
	o.sender.Wait()
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

// take returns all that waits, and whether nothing will follow it. With nothing
// to send the sender is done.
func (o *outbox) take() (msgs []*meshv1.Down, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.order {
		msgs = append(msgs, o.msgs[k])
	}
	o.order, o.msgs = nil, nil // an idle one keeps nothing
	o.sending = len(msgs) > 0
	return msgs, o.ended && o.sending
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

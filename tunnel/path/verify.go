package path

import (
	"encoding/binary"
	"time"
)

// A way that answers pings may still swallow the tunnel's packets: a firewall
// that knows WireGuard, a link that lost its large frames, a network card that
// garbles what it should segment. So every pong carries, behind what the
// format asks for, how many of the tunnel's packets have come; the sender of
// the ping compares that with what it sent; and whether they arrive garbled. Nodes
// that know nothing of it ignore the bytes.

// counters count packets of the tunnel over UDP, modulo 2^32.
type counters struct {
	packets uint32
	large   uint32 // of more than largePacket bytes
}

func (c counters) small() uint32 { return c.packets - c.large }

// largePacket is the size from which a packet counts as large: bulk data fills
// its packets, and little else is larger.
const largePacket = 1000

// reportMagic begins a report, reportLen is its length in bytes.
const (
	reportMagic = "adit"
	reportLen   = len(reportMagic) + 8 + 1
)

// appendReport appends c, and whether packets arrive garbled, as it travels behind a
// pong.
func appendReport(b []byte, c counters, garbled bool) []byte {
	b = append(b, reportMagic...)
	b = binary.BigEndian.AppendUint32(b, c.packets)
	b = binary.BigEndian.AppendUint32(b, c.large)
	if garbled {
		return append(b, 1)
	}
	return append(b, 0)
}

// parseReport reads what appendReport wrote.
func parseReport(b []byte) (c counters, garbled, ok bool) {
	if len(b) < reportLen || string(b[:len(reportMagic)]) != reportMagic {
		return counters{}, false, false
	}
	b = b[len(reportMagic):]
	return counters{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}, b[8] != 0, true
}

const (
	// lossMin is how many packets must be gone without a single one arriving.
	lossMin = 3

	// lossFor is for how long. A burst may be lost at once; retransmissions
	// are lost for longer.
	lossFor = 300 * time.Millisecond

	// shunFirst and shunMost bound how long a way that swallowed data is kept
	// out of use; doubled each time.
	shunFirst = 30 * time.Second
	shunMost  = 10 * time.Minute
)

// delivery is what becomes of the packets sent over the path in use.
type delivery struct {
	started      bool
	small, large ledger
	trickle      trickle
}

const (
	// trickleOver is how long a trickle is watched, at least, and trickleMin how
	// many packets must have been sent meanwhile.
	trickleOver = time.Second
	trickleMin  = 8
	// trickleMost is how many arrive meanwhile at most: a link that is merely full
	// delivers more.
	trickleMost = 100
)

// trickle sees large packets of which most are lost though they are few, as if
// only those arrived that were sent alone.
type trickle struct {
	since   time.Time
	out, in uint32
}

// seen takes a report in, and what had been sent when it was asked for.
func (t *trickle) seen(now time.Time, asked, in uint32) bool {
	if t.since.IsZero() || int32(asked-t.out) < 0 {
		*t = trickle{now, asked, in}
		return false
	}
	sent, came := asked-t.out, in-t.in
	if now.Sub(t.since) < trickleOver || sent < trickleMin {
		return false
	}
	*t = trickle{now, asked, in}
	return came < trickleMost && came <= sent/2
}

// ledger compares one kind of packet, sent and arrived, since progress was
// last seen.
type ledger struct {
	out, in uint32
	since   time.Time // when nothing had arrived for the first time
}

// lost takes a report in, what had been sent at the latest when it was asked
// for, and what at the latest when it came. It tells whether everything sent of
// late is gone.
func (l *ledger) lost(now time.Time, asked, came, in uint32) bool {
	if in != l.in {
		*l = ledger{out: came, in: in}
		return false
	}
	// What is counted as sent may be a little behind; then nothing was.
	if sent := int32(asked - l.out); sent < lossMin {
		return false
	}
	if l.since.IsZero() {
		l.since = now
	}
	return now.Sub(l.since) >= lossFor
}

// loss is what a report tells.
type loss uint8

const (
	lossNone  loss = iota
	lossMost       // of the large packets, few as they are, most do not arrive
	lossLarge      // large packets do not arrive
	lossAll        // not even small ones do
)

// judge takes a peer's report in, what had been sent when it was asked for, and
// what when it came. Large packets that are missing while no small ones were
// sent may be too large; that is for the caller to find out.
func (d *delivery) judge(now time.Time, asked, came, in counters) loss {
	if !d.started {
		*d = delivery{
			started: true,
			small:   ledger{out: came.small(), in: in.small()},
			large:   ledger{out: came.large, in: in.large},
			trickle: trickle{now, came.large, in.large},
		}
		return lossNone
	}
	small := d.small.lost(now, asked.small(), came.small(), in.small())
	large := d.large.lost(now, asked.large, came.large, in.large)
	most := d.trickle.seen(now, asked.large, in.large)
	switch {
	case small:
		return lossAll
	case large:
		return lossLarge
	case most:
		return lossMost
	}
	return lossNone
}

// inQuestion reports whether another report is wanted soon.
func (d *delivery) inQuestion() bool { return !d.small.since.IsZero() || !d.large.since.IsZero() }

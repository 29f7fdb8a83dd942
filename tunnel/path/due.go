package path

import "time"

// next says when tick has something to do again.
func (m *machine) next(now time.Time) time.Time {
	if m.quiet = m.quiet && m.mode == modeDirect; m.quiet {
		at := m.nextQuiet(now)
		if m.seeking() {
			at = later(earlier(at, m.nextSeek()), now.Add(leastQuiet))
		}
		return at
	}
	if m.mode != modeRelay {
		at := now.Add(tickEvery)
		if search := m.candidates[m.best].mtu.nextAt; search.After(now) {
			at = earlier(at, search)
		}
		return at
	}
	at := m.nextSeek()
	if m.hint.valid() {
		at = earlier(at, m.hintAt.Add(hintFor))
	}
	for _, c := range m.candidates {
		if c.burstNext < len(burst) {
			at = earlier(at, c.burstStart.Add(burst[c.burstNext]))
		}
	}
	return at
}

// nextSeek says when a way to the peer itself is looked for again.
func (m *machine) nextSeek() time.Time {
	at := m.nextRound()
	if guess := m.nextBirthday(); !guess.IsZero() {
		at = earlier(at, guess)
	}
	return at
}

// nextQuiet says when tickDirect has something to do although no packet goes or
// comes.
func (m *machine) nextQuiet(now time.Time) time.Time {
	c := m.candidates[m.best]
	at := later(m.created, later(m.seen.sent, m.seen.received)).Add(idleAfter)
	if m.standIns() {
		at = earlier(at, m.secondAt.Add(secondEvery))
	}
	if len(c.waiting) > 0 {
		at = earlier(at, m.overdue(c))
	} else {
		at = earlier(at, m.nextBeat(c))
		if !m.seen.unanswered.IsZero() {
			at = earlier(at, m.seen.unanswered.Add(m.route().guard))
		}
	}
	if m.alarms > 1 { // guards that are longer than usual
		at = earlier(at, m.calmAt())
	}
	if c.rtt > goodEnough {
		at = earlier(at, m.roundAt.Add(reprobeDirect))
	}
	if verify := c.mtu.nextVerify(c.patience(), m.seen.out.large, c.proved); !verify.IsZero() {
		at = earlier(at, verify)
	}
	for _, other := range m.candidates {
		if other.burstNext < len(burst) {
			at = earlier(at, other.burstStart.Add(burst[other.burstNext]))
		}
		if now.Sub(other.answered) >= secondFor {
			continue
		}
		// It may stand in no more, or again; and its sizes may be due.
		at = earlier(at, other.answered.Add(secondFor))
		for _, then := range []time.Time{other.shunUntil, other.mtu.nextAt} {
			if then.After(now) {
				at = earlier(at, then)
			}
		}
	}
	return later(at, now.Add(leastQuiet))
}

// dropOldHint forgets a hint that is too old for packets to go by.
func (m *machine) dropOldHint(now time.Time) {
	if now.Sub(m.hintAt) >= hintFor {
		m.hint = way{}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pause is how long after an answer the path in use is pinged again.
func (m *machine) pause() time.Duration {
	if m.delivery.inQuestion() {
		return silenceFor
	}
	if last := later(m.created, later(m.seen.sent, m.seen.received)); m.now.Sub(last) >= restAfter {
		return restBeat
	}
	return heartbeat
}

// rests reports whether an answer that came by w is no news: the path in use rests, and it will
// be looked at when the answer is due.
func (m *machine) rests(w way) bool {
	return m.quiet && m.direct() && w == m.best && m.pause() == restBeat
}

// nextBeat says when the best direct path is pinged again. All peers of a node are pinged at
// the same moments, if their time has come or nearly: of ten that rest, each would wake the
// node by itself, which costs more than the ping. While nothing goes or comes, the pings of one
// end show both that the path works, and an end that yields leaves them to the other.
func (m *machine) nextBeat(c *candidate) time.Time {
	pause := m.pause()
	at := c.answered.Add(pause)
	if pause < heartbeat {
		return at
	}
	at = m.beatOf(at, pause)
	if m.yields && pause == restBeat && !c.heard.IsZero() {
		at = later(at, c.heard.Add(yieldFor))
	}
	return at
}

// overdue says when a ping of the path in use that waits for its answer casts doubt on it.
func (m *machine) overdue(c *candidate) time.Time {
	at := c.waiting[0].at.Add(c.patience())
	if m.quiet { // there is no hurry
		at = m.beatOf(at.Add(together), together)
	}
	return at
}

// beatOf returns the last of the moments before at, a pause apart, at which all peers are
// looked at.
func (m *machine) beatOf(at time.Time, pause time.Duration) time.Time {
	if m.beats.IsZero() {
		return at
	}
	return at.Add(-(at.Sub(m.beats) % pause))
}

// standIns reports whether another way than that in use once answered.
func (m *machine) standIns() bool {
	for w, c := range m.candidates {
		if w != m.best && !c.answered.IsZero() {
			return true
		}
	}
	return false
}

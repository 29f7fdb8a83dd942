package mesh

import (
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

const (
	// maxSessionReports bounds the sessions that a report tells of, and maxSessionText
	// each text of one.
	maxSessionReports = 64
	maxSessionText    = 256

	// maxSessionsWaiting bounds those that wait while the database is away. A
	// session is told of more than once, so that what finds no place comes again.
	maxSessionsWaiting = 100_000
)

// sessionsCame takes what an agent tells of sessions. Whose they are is not the
// agent's to say: userOf knows the user of a client that is linked to it.
func (r *reports) sessionsCame(agent uuid.UUID, list []*meshv1.SessionReport, userOf func(client string) uuid.UUID) error {
	if len(list) > maxSessionReports {
		return fmt.Errorf("%d sessions, at most %d are allowed", len(list), maxSessionReports)
	}
	for _, s := range list {
		id, err := uuid.Parse(s.GetId())
		if err != nil {
			return fmt.Errorf("a session with the id %.60q", s.GetId())
		}
		for _, text := range []string{s.GetFrom(), s.GetPath(), s.GetKind()} {
			if len(text) > maxSessionText {
				return fmt.Errorf("a session with a text of %d bytes", len(text))
			}
		}
		if s.GetRxBytes() > math.MaxInt64 || s.GetTxBytes() > math.MaxInt64 || s.GetStartedMs() < 0 || s.GetEndedMs() < 0 || max(s.GetStartedMs(), s.GetEndedMs()) > 1<<50 {
			return fmt.Errorf("a session with numbers that cannot be")
		}
		n := store.SSHSession{
			ID: id, AgentID: agent, UserID: userOf(s.GetClient()), From: foreign.Printable(s.GetFrom()), Path: foreign.Printable(s.GetPath()), Kind: foreign.Printable(s.GetKind()),
			StartedAt: time.UnixMilli(s.GetStartedMs()), Rx: int64(s.GetRxBytes()), Tx: int64(s.GetTxBytes()),
		}
		if s.GetEndedMs() > 0 {
			n.EndedAt = time.UnixMilli(s.GetEndedMs())
		}
		key := sessionKey{agent, id}
		if before, ok := r.ssh[key]; ok && before.UserID != uuid.Nil {
			n.UserID = before.UserID
		} else if !ok && len(r.ssh) >= maxSessionsWaiting {
			continue
		}
		r.ssh[key] = n
	}
	return nil
}

// sessionKey is a session: an agent could name another's.
type sessionKey struct{ agent, id uuid.UUID }

// takeSessions returns the sessions to be written, and forgets them.
func (r *reports) takeSessions() []store.SSHSession {
	var list []store.SSHSession
	for _, s := range r.ssh {
		list = append(list, s)
	}
	clear(r.ssh)
	return list
}

// putSessionsBack keeps what could not be written, unless newer has come since.
func (r *reports) putSessionsBack(list []store.SSHSession) {
	for _, s := range list {
		key := sessionKey{s.AgentID, s.ID}
		if _, newer := r.ssh[key]; !newer {
			r.ssh[key] = s
		}
	}
}

// visit is a client that was linked to an agent, and may be gone when the agent tells
// what it did.
type visit struct{ agent, client uuid.UUID }

// visitor is whose client that was, and since when the link is known to be no more.
type visitor struct {
	user uuid.UUID
	left time.Time
}

// userOf returns the user of a client that is, or was until lately, linked to an
// agent; zero if it was not.
func (c *core) userOf(agent uuid.UUID, client string) uuid.UUID {
	id, err := uuid.Parse(client)
	if err != nil {
		return uuid.Nil
	}
	return c.visitors[visit{agent, id}].user
}

// forgetVisitors forgets who left some time ago.
func (c *core) forgetVisitors(now time.Time) {
	for v, who := range c.visitors {
		n := c.nodes[v.agent]
		switch {
		case n != nil && n.links[v.client] != nil:
			who.left = time.Time{}
		case who.left.IsZero():
			who.left = now
		case now.Sub(who.left) > forgetAfter:
			delete(c.visitors, v)
			continue
		}
		c.visitors[v] = who
	}
}

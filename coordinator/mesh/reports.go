package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/foreign"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

const (
	// reportsTick is how often what agents reported is written: soon enough for a
	// person who looks, and two statements however many agents reported.
	reportsTick = 2 * time.Second

	// maxMetadata bounds the values of an agent, maxMetadataKey and maxMetadataValue
	// the length of each.
	maxMetadata      = 64
	maxMetadataKey   = 64
	maxMetadataValue = 4 << 10

	// maxReported bounds how long a time a report may be about: an agent sums
	// while it has no session.
	maxReported = 24 * time.Hour
)

// reports gathers what agents report until it is written. It does no I/O and
// takes no locks. Of an agent there is one sum of statistics and one value a key,
// however long the database is away.
type reports struct {
	metadata map[metadataKey]store.MetadataValue
	stats    map[uuid.UUID]store.Stats
	// links are those of which an end has said something new, and written those
	// that were written and have not been dropped.
	links, written map[store.LinkKey]*link
	ssh            map[sessionKey]store.SSHSession
}

type metadataKey struct {
	agent uuid.UUID
	key   string
}

func newReports() *reports {
	return &reports{metadata: make(map[metadataKey]store.MetadataValue), stats: make(map[uuid.UUID]store.Stats),
		links: make(map[store.LinkKey]*link), written: make(map[store.LinkKey]*link), ssh: make(map[sessionKey]store.SSHSession)}
}

// said notes that an end of a link has said something of its path.
func (r *reports) said(l *link) {
	r.links[store.LinkKey{ClientID: l.client.id, AgentID: l.agent.id}] = l
}

// takeLinks returns the links to write and those to drop: there is no link that
// was written any more, or another of the same two.
func (r *reports) takeLinks() (write []store.Link, drop []store.LinkKey) {
	for k, l := range r.links {
		if l.client.links[k.AgentID] == l {
			write = append(write, store.Link{LinkKey: k, ByClient: l.byClient.stored(), ByAgent: l.byAgent.stored()})
			r.written[k] = l
		}
	}
	for k, l := range r.written {
		if l.client.links[k.AgentID] != l {
			drop = append(drop, k)
			delete(r.written, k)
		}
	}
	clear(r.links)
	return write, drop
}

// came takes a report of an agent's. One that no agent of ours sends is an error.
func (r *reports) came(agent uuid.UUID, report *meshv1.Report, now time.Time) error {
	if n := len(report.GetMetadata()); n > maxMetadata {
		return fmt.Errorf("%d values of metadata, at most %d are allowed", n, maxMetadata)
	}
	for _, v := range report.GetMetadata() {
		if len(v.GetKey()) > maxMetadataKey || len(v.GetValue()) > maxMetadataValue || len(v.GetError()) > maxMetadataValue {
			return fmt.Errorf("metadata %.60q of %d bytes, at most %d are allowed", v.GetKey(), len(v.GetValue())+len(v.GetError()), maxMetadataValue)
		}
	}
	var stats store.Stats
	if s := report.GetStats(); s != nil {
		var err error
		if stats, err = statsFrom(agent, s); err != nil {
			return err
		}
		if before, ok := r.stats[agent]; ok {
			stats = sum(before, stats)
		}
		r.stats[agent] = stats
	}
	for _, v := range report.GetMetadata() {
		key := foreign.Printable(v.GetKey())
		r.metadata[metadataKey{agent, key}] = store.MetadataValue{
			AgentID: agent, Key: key, Value: foreign.Printable(v.GetValue()), Err: foreign.Printable(v.GetError()), At: now,
		}
	}
	return nil
}

// statsFrom reads statistics. Their numbers go into sums with those of others, so
// they have to be numbers.
func statsFrom(agent uuid.UUID, s *meshv1.Stats) (store.Stats, error) {
	for _, f := range []float64{s.GetSeconds(), s.GetCpu(), s.GetCpuLimit(), s.GetLatencyMs()} {
		if math.IsNaN(f) || f < 0 || f > 1e9 {
			return store.Stats{}, fmt.Errorf("statistics with the number %v", f)
		}
	}
	for _, n := range []uint64{s.GetRxBytes(), s.GetTxBytes(), s.GetMemory(), s.GetMemoryLimit(), s.GetDisk(), s.GetDiskLimit()} {
		if n > 1<<56 { // a day at 6 Tbit/s, and hundreds of them fit into a sum
			return store.Stats{}, fmt.Errorf("statistics with %d bytes", n)
		}
	}
	for _, n := range []uint32{s.GetSsh(), s.GetSftp(), s.GetForwards()} {
		if n > 1<<24 {
			return store.Stats{}, fmt.Errorf("statistics with %d sessions", n)
		}
	}
	out := store.Stats{
		AgentID: agent, Length: min(time.Duration(s.GetSeconds()*float64(time.Second)), maxReported),
		SSH: int(s.GetSsh()), SFTP: int(s.GetSftp()), Forwards: int(s.GetForwards()),
		RxBytes: int64(s.GetRxBytes()), TxBytes: int64(s.GetTxBytes()), CPU: s.GetCpu(), CPULimit: s.GetCpuLimit(),
		Memory: int64(s.GetMemory()), MemoryLimit: int64(s.GetMemoryLimit()),
		Disk: int64(s.GetDisk()), DiskLimit: int64(s.GetDiskLimit()), LatencyMs: s.GetLatencyMs(),
	}
	if s.GetActive() {
		out.Active = out.Length
	}
	return out, nil
}

// sum is what two reports of an agent say together, the later one second.
func sum(a, b store.Stats) store.Stats {
	if whole := a.Length + b.Length; whole > 0 {
		b.CPU = (a.CPU*a.Length.Seconds() + b.CPU*b.Length.Seconds()) / whole.Seconds()
	}
	b.Length, b.Active = a.Length+b.Length, a.Active+b.Active
	b.SSH, b.SFTP, b.Forwards = max(a.SSH, b.SSH), max(a.SFTP, b.SFTP), max(a.Forwards, b.Forwards)
	b.RxBytes, b.TxBytes = a.RxBytes+b.RxBytes, a.TxBytes+b.TxBytes
	return b
}

// take returns what is to be written, and forgets it.
func (r *reports) take() (metadata []store.MetadataValue, stats []store.Stats) {
	for _, v := range r.metadata {
		metadata = append(metadata, v)
	}
	for _, s := range r.stats {
		stats = append(stats, s)
	}
	clear(r.metadata)
	clear(r.stats)
	return metadata, stats
}

// putBack keeps what could not be written, beside what came since.
func (r *reports) putBack(metadata []store.MetadataValue, stats []store.Stats) {
	for _, v := range metadata {
		k := metadataKey{v.AgentID, v.Key}
		if _, newer := r.metadata[k]; !newer {
			r.metadata[k] = v
		}
	}
	for _, s := range stats {
		if later, ok := r.stats[s.AgentID]; ok {
			s = sum(s, later)
		}
		r.stats[s.AgentID] = s
	}
}

// putBackLinks keeps what could not be written or dropped.
func (r *reports) putBackLinks(write []store.Link, drop []store.LinkKey) {
	for _, l := range write {
		if r.links[l.LinkKey] == nil {
			r.links[l.LinkKey] = r.written[l.LinkKey]
		}
	}
	for _, k := range drop {
		if r.written[k] == nil {
			r.written[k] = &link{client: &node{}} // none of the client's, so that it goes next time
		}
	}
}

// reportStore is where reports go.
type reportStore interface {
	RecordMetadata(ctx context.Context, batch []store.MetadataValue) error
	RecordStats(ctx context.Context, batch []store.Stats) error
	RecordLinks(ctx context.Context, batch []store.Link) error
	DropLinks(ctx context.Context, batch []store.LinkKey) error
	RecordAgentReports(ctx context.Context, batch []store.AgentReport) error
	RecordSSHSessions(ctx context.Context, batch []store.SSHSession) error
}

// recordReports writes what came in at each tick until ctx is done, and once more
// then. While the database is away it waits.
func (h *Hub) recordReports(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reportsTick)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		h.mu.Lock()
		metadata, stats := h.reports.take()
		h.mu.Unlock()
		write := context.WithoutCancel(ctx)
		if len(metadata) > 0 {
			if err := h.cfg.Store.RecordMetadata(write, metadata); err != nil {
				log.Debug("metadata of agents has to wait", "err", err)
			} else {
				metadata = nil
			}
		}
		if len(stats) > 0 {
			if err := h.cfg.Store.RecordStats(write, stats); err != nil {
				log.Debug("statistics of agents have to wait", "err", err)
			} else {
				stats = nil
			}
		}
		if len(metadata)+len(stats) > 0 {
			h.mu.Lock()
			h.reports.putBack(metadata, stats)
			h.mu.Unlock()
		}
		h.recordLinks(write, log)
		h.recordSessions(write, log)
	}
}

// recordSessions writes what agents told of sessions since the last time.
func (h *Hub) recordSessions(ctx context.Context, log *slog.Logger) {
	h.mu.Lock()
	list := h.reports.takeSessions()
	h.mu.Unlock()
	if len(list) == 0 {
		return
	}
	if err := h.cfg.Store.RecordSSHSessions(ctx, list); err != nil {
		log.Debug("sessions have to wait", "err", err)
		h.mu.Lock()
		h.reports.putSessionsBack(list)
		h.mu.Unlock()
	}
}

// recordLinks writes what ends of links have said since the last time, and drops
// those that are no more.
func (h *Hub) recordLinks(ctx context.Context, log *slog.Logger) {
	h.mu.Lock()
	write, drop := h.reports.takeLinks()
	h.mu.Unlock()
	var err error
	if len(write) > 0 {
		if err = h.cfg.Store.RecordLinks(ctx, write); err == nil {
			write = nil
		}
	}
	if len(drop) > 0 && err == nil {
		if err = h.cfg.Store.DropLinks(ctx, drop); err == nil {
			drop = nil
		}
	}
	if err != nil {
		log.Debug("paths of links have to wait", "err", err)
		h.mu.Lock()
		h.reports.putBackLinks(write, drop)
		h.mu.Unlock()
	}
}

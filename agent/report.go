package agent

import (
	"sync"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// outgoing is what waits to be told to the coordinator: the last value of each
// measure, and one sum of statistics, however long there is no session.
type outgoing struct {
	mu       sync.Mutex // guards what follows
	metadata map[string]*meshv1.MetadataValue
	stats    *meshv1.Stats
}

func newOutgoing() *outgoing {
	return &outgoing{metadata: make(map[string]*meshv1.MetadataValue)}
}

// measured takes a value; a later one takes its place.
func (o *outgoing) measured(key, value, err string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.metadata[key] = &meshv1.MetadataValue{Key: key, Value: value, Error: err}
}

// counted adds statistics to those that wait.
func (o *outgoing) counted(s *meshv1.Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.stats; w != nil {
		if whole := w.GetSeconds() + s.GetSeconds(); whole > 0 {
			s.Cpu = (w.GetCpu()*w.GetSeconds() + s.GetCpu()*s.GetSeconds()) / whole
			s.Seconds = whole
		}
		s.Active = s.GetActive() || w.GetActive()
		s.Ssh, s.Sftp, s.Forwards = max(s.GetSsh(), w.GetSsh()), max(s.GetSftp(), w.GetSftp()), max(s.GetForwards(), w.GetForwards())
		s.RxBytes, s.TxBytes = s.GetRxBytes()+w.GetRxBytes(), s.GetTxBytes()+w.GetTxBytes()
	}
	o.stats = s
}

// take returns what waits, and forgets it; nil if there is nothing.
func (o *outgoing) take() *meshv1.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.metadata) == 0 && o.stats == nil {
		return nil
	}
	r := &meshv1.Report{Stats: o.stats}
	for _, v := range o.metadata {
		r.Metadata = append(r.Metadata, v)
	}
	clear(o.metadata)
	o.stats = nil
	return r
}

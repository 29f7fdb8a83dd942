package agent

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/aditmesh/adit/agent/app"
	"github.com/aditmesh/adit/agent/audit"
	"github.com/aditmesh/adit/agent/port"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

// outgoing is what waits to be told to the coordinator: the last value of each
// measure, and one sum of statistics, however long there is no session.
type outgoing struct {
	mu       sync.Mutex // guards what follows
	metadata map[string]*meshv1.MetadataValue
	stats    *meshv1.Stats
	state    *meshv1.State // whole; nil until there is one
	told     bool          // the state
	tell     func()        // asks to be asked; nil until there is a node
	sessions map[string]*toldSession
}

// toldSession is a session that is to be told of: its end more than once, for a
// report that is lost is not said again.
type toldSession struct {
	report *meshv1.SessionReport
	left   int       // how often it is to be told
	due    time.Time // not before
}

const (
	// tellEnds is how often the end of a session is told, tellAgain how long after
	// each other: until a control session that broke has come back.
	tellEnds  = 3
	tellAgain = 30 * time.Second

	// maxSessions bounds the sessions that are to be told of, and maxInReport those
	// in one report.
	maxSessions = 4096
	maxInReport = 64

	// maxPortSettings is how many the coordinator takes of all repositories.
	maxPortSettings = 128
)

func newOutgoing() *outgoing {
	return &outgoing{metadata: make(map[string]*meshv1.MetadataValue), sessions: make(map[string]*toldSession)}
}

// audited takes what is to be told of a session. Who it was and where from is known
// when it begins.
func (o *outgoing) audited(s *meshv1.SessionReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.sessions[s.GetId()]
	if t == nil {
		if len(o.sessions) >= maxSessions {
			return
		}
		t = &toldSession{report: s}
		o.sessions[s.GetId()] = t
	}
	s.Client, s.From, s.Path = t.report.GetClient(), t.report.GetFrom(), t.report.GetPath()
	t.report, t.left, t.due = s, 1, time.Time{}
	if s.GetEndedMs() != 0 {
		t.left = tellEnds
	}
}

// takeSessions returns what is to be told of sessions now.
func (o *outgoing) takeSessions(now time.Time) []*meshv1.SessionReport {
	var list []*meshv1.SessionReport
	for id, t := range o.sessions {
		if len(list) == maxInReport {
			break
		}
		if t.left == 0 || now.Before(t.due) {
			continue
		}
		list = append(list, t.report)
		t.due = now.Add(tellAgain)
		if t.left--; t.left == 0 && t.report.GetEndedMs() != 0 {
			delete(o.sessions, id)
		}
	}
	return list
}

// sessionReport says whose client it was that did something, and how it came.
func sessionReport(node *tunnel.Node, r audit.Record) *meshv1.SessionReport {
	s := &meshv1.SessionReport{
		Id: r.ID.String(), Kind: r.Kind, StartedMs: r.Started.UnixMilli(), RxBytes: r.Rx, TxBytes: r.Tx,
	}
	if !r.Ended.IsZero() {
		s.EndedMs = r.Ended.UnixMilli()
		return s
	}
	addr, err := netip.ParseAddrPort(r.Client.String())
	if err != nil {
		return s
	}
	for _, p := range node.Peers() {
		if slices.Contains(p.Addresses, addr.Addr()) {
			s.Client, s.From, s.Path = p.ID, p.Path.Addr, p.Path.Kind
		}
	}
	return s
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

// changed changes the state, which is told at once.
func (o *outgoing) changed(change func(*meshv1.State)) {
	o.mu.Lock()
	next := new(meshv1.State)
	if o.state != nil { // one that was told may still be on its way, and stays as it is
		next.Ports, next.Apps = o.state.GetPorts(), o.state.GetApps()
		next.Directory, next.PortSettings = o.state.GetDirectory(), o.state.GetPortSettings()
	}
	change(next)
	o.state, o.told = next, false
	tell := o.tell
	o.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// ports takes what listens.
func (o *outgoing) ports(list []port.Seen) {
	o.changed(func(s *meshv1.State) {
		s.Ports = nil
		for _, p := range list {
			s.Ports = append(s.Ports, &meshv1.Port{
				Network: p.Network, Port: uint32(p.Port), Address: p.Address, Process: p.Process, Pid: uint32(p.PID), Protocol: p.Protocol,
			})
		}
	})
}

// apps takes how they are doing.
func (o *outgoing) apps(list []app.State) {
	o.changed(func(s *meshv1.State) {
		s.Apps = nil
		for _, a := range list {
			s.Apps = append(s.Apps, &meshv1.App{Slug: a.Slug, State: a.State, Why: a.Why})
		}
	})
}

// begins takes where sessions begin.
func (o *outgoing) begins(dir string) { o.changed(func(s *meshv1.State) { s.Directory = dir }) }

// says takes what a repository says of ports, beside what others said.
func (o *outgoing) says(list []sdk.PortSetting) {
	o.changed(func(s *meshv1.State) {
		s.PortSettings = slices.Clone(s.PortSettings)
		for _, p := range list[:min(len(list), maxPortSettings-len(s.PortSettings))] {
			s.PortSettings = append(s.PortSettings, &meshv1.PortSetting{
				First: uint32(p.First), Last: uint32(p.Last), Label: p.Label, Protocol: p.Protocol, OnOpen: p.OnOpen, Visibility: p.Visibility,
			})
		}
	})
}

// said is what repositories say of ports.
func (o *outgoing) said() (list []sdk.PortSetting) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.state.GetPortSettings() {
		list = append(list, sdk.PortSetting{
			First: int(p.GetFirst()), Last: int(p.GetLast()), Label: p.GetLabel(), Protocol: p.GetProtocol(), OnOpen: p.GetOnOpen(), Visibility: p.GetVisibility(),
		})
	}
	return list
}

// listening is what listens, as it was last told.
func (o *outgoing) listening() []*meshv1.Port {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state.GetPorts()
}

// to says whom to ask to be asked.
func (o *outgoing) to(tell func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell = tell
}

// take returns what waits, and forgets it; nil if there is nothing. The state is
// told in each session.
func (o *outgoing) take(newSession bool) *meshv1.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	sessions := o.takeSessions(time.Now())
	state := o.state
	if o.told && !newSession {
		state = nil
	}
	if len(o.metadata) == 0 && o.stats == nil && state == nil && len(sessions) == 0 {
		return nil
	}
	o.told = o.state != nil
	r := &meshv1.Report{Stats: o.stats, State: state, Sessions: sessions}
	for _, v := range o.metadata {
		r.Metadata = append(r.Metadata, v)
	}
	clear(o.metadata)
	o.stats = nil
	return r
}

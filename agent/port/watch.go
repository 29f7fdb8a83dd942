package port

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// lookEvery is how often the kernel is asked what listens: half of the second in
	// which people are to know. It takes 0.15 ms of a core, 0.03 % of it.
	lookEvery = 500 * time.Millisecond

	// lookEverySlow is the same where there is no sock_diag: to read /proc/net takes
	// 11 ms, which each half second would be 2 % of a core.
	lookEverySlow = 10 * time.Second

	// maxPorts bounds what is reported.
	maxPorts = 128

	// maxProbes bounds probes under way.
	maxProbes = 4
)

// WatchConfig configures [Watch].
type WatchConfig struct {
	// Known returns the protocol that the template gives a port; "" is none.
	Known func(port uint16) string
	// Report takes all ports, whenever they are others.
	Report func([]Seen)
	// Logger gets one line where nothing is detected; nil discards.
	Logger *slog.Logger
}

// Seen is a listening port with what it speaks.
type Seen struct {
	Listening
	// Protocol is HTTP, HTTPS, or the network where neither is known to be.
	Protocol string
}

// Watch reports what listens until ctx ends.
func Watch(ctx context.Context, cfg WatchConfig) {
	w := &watcher{
		cfg: cfg, programs: make(map[uint32]Program), protocols: make(map[uint32]string), slots: make(chan struct{}, maxProbes),
		guessed: make(chan guess),
	}
	defer w.probes.Wait()
	scan, err := openScanner()
	if err != nil {
		if cfg.Logger != nil {
			cfg.Logger.Info("listening ports are not detected", "err", err)
		}
		return
	}
	defer scan.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		sockets, err := scan.scan()
		if err == nil {
			w.look(ctx, sockets)
		}
		if scan.slow() {
			tick.Reset(lookEverySlow)
		}
		select {
		case <-ctx.Done():
			return
		case g := <-w.guessed:
			w.protocols[g.inode] = g.protocol
			w.report()
		case <-tick.C:
		}
	}
}

type guess struct {
	inode    uint32
	protocol string
}

// watcher is the state of Watch; one goroutine has it.
type watcher struct {
	cfg       WatchConfig
	last      []Socket // as they came, to see that nothing has changed
	programs  map[uint32]Program
	protocols map[uint32]string // by inode; "" while it is being found out
	list      []Listening
	told      []Seen
	slots     chan struct{}
	guessed   chan guess
	probes    sync.WaitGroup
}

// look takes what listens now. Programs are looked for only when there are sockets
// that are new, for that means to look through all of /proc.
func (w *watcher) look(ctx context.Context, sockets []Socket) {
	if w.last != nil && slices.Equal(sockets, w.last) {
		return
	}
	w.last = append(w.last[:0], sockets...)
	unknown, present := make(map[uint32]bool), make(map[uint32]bool)
	for _, s := range sockets {
		present[s.Inode] = true
		if _, ok := w.programs[s.Inode]; !ok {
			unknown[s.Inode] = true
		}
	}
	for inode := range w.programs {
		if !present[inode] {
			delete(w.programs, inode)
			delete(w.protocols, inode)
		}
	}
	found := owners(unknown)
	for inode := range unknown {
		w.programs[inode] = found[inode] // none is remembered, too
	}
	w.list = gather(visible(sockets, w.programs), func(s Socket) Program { return w.programs[s.Inode] })
	if len(w.list) > maxPorts {
		w.list = w.list[:maxPorts]
	}
	for _, l := range w.list {
		if _, ok := w.protocols[l.inode]; !ok {
			w.findOut(ctx, l)
		}
	}
	w.report()
}

// findOut finds out what a port speaks.
func (w *watcher) findOut(ctx context.Context, l Listening) {
	if known := w.cfg.Known(l.Port); known != "" || l.Network == UDP || !mayProbe(l) {
		w.protocols[l.inode] = known
		return
	}
	w.protocols[l.inode] = ""
	w.probes.Go(func() {
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		protocol := probe(ctx, l)
		<-w.slots
		select {
		case w.guessed <- guess{l.inode, protocol}:
		case <-ctx.Done():
		}
	})
}

// report tells of the ports if they are others than those it told of.
func (w *watcher) report() {
	ports := make([]Seen, 0, len(w.list))
	for _, l := range w.list {
		p := Seen{Listening: l, Protocol: w.protocols[l.inode]}
		if p.Protocol == "" {
			p.Protocol = l.Network
		}
		p.backlog, p.inode = 0, 0 // another socket with all else the same is no news
		ports = append(ports, p)
	}
	if w.told != nil && slices.Equal(ports, w.told) {
		return
	}
	w.told = ports
	w.cfg.Report(ports)
}

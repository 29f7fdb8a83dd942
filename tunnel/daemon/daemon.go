package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aditmesh/adit/pkg/meshaddr"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/hostnet"
	"github.com/aditmesh/adit/tunnel/names"
	"github.com/aditmesh/adit/tunnel/path"
)

// DefaultSuffix ends the mesh's names.
const DefaultSuffix = "adit"

const (
	// dnsPort is where names are asked for.
	dnsPort = 53

	// idleAfter is how long a tunnel stays that nothing is sent through.
	idleAfter = 10 * time.Minute

	// idleUnknown is the same where it cannot be told whether a connection that is
	// silent is still open: what TCP keeps alive is not silent for longer.
	idleUnknown = 2*time.Hour + 15*time.Minute
)

// meshDNS is the responder's address on the mesh. No node has it: ids are random,
// and this one would be of zeros.
var meshDNS = netip.AddrFrom16(func() (a [16]byte) {
	a = meshaddr.Prefix.Addr().As16()
	a[15] = dnsPort
	return a
}())

// Config configures a daemon.
type Config struct {
	// Client has the session that the daemon acts in.
	Client *sdk.Client
	// LinksOf says that the client is a workspace's and not a person's, and whose that is:
	// then names are asked for one by one, and lead where links of the policy do. It needs
	// Proxy. Empty means a person's.
	LinksOf string
	// Socket is where the local API listens, and Users are who may use it, by the
	// system's numbers. Root may anyway.
	Socket string
	Users  []int
	// Interface is the name of the interface to make. Empty means the system's
	// usual.
	Interface string
	// Proxy is where SOCKS5 and HTTP are taken, in place of an interface: then the
	// daemon needs no rights. Empty means an interface.
	Proxy string
	// Suffix ends the mesh's names. Empty means DefaultSuffix.
	Suffix string
	// NoDNS leaves the machine's resolver as it is.
	NoDNS bool
	// Path is what the node is to do without on its way to peers.
	Path path.Options
	// Version is for people.
	Version string
	// Logger gets events worth a line; nil discards them.
	Logger *slog.Logger
	// Ready is called once names and tunnels work. Nil means nobody waits for it.
	Ready func(Status)
}

// daemon is a running daemon.
type daemon struct {
	cfg    Config
	log    *slog.Logger
	gate   *hostnet.Gate
	ifc    string
	table  names.Table
	events events
	ctx    context.Context // done when the daemon ends
	stop   context.CancelCauseFunc
	wg     sync.WaitGroup

	// pool is where addresses are from that stand for those of the mesh in IPv4; nil is that
	// there are none. It is looked at for each question for a name, and stored under mu.
	pool atomic.Pointer[netip.Prefix]

	// resolver is the machine's, once it is set up.
	resolver atomic.Pointer[hostnet.Resolver]

	listed chan struct{} // closed once the workspaces were read
	once   sync.Once     // guards listed

	mu        sync.Mutex                // guards what follows
	ending    bool                      // nobody waits for what begins now
	node      *tunnel.Node              // nil until it has joined
	me        string                    // the user's name
	reachable map[string][]reach        // what may be reached, by workspace
	hosts     map[netip.Addr]*reach     // all of it, by address
	proxyAt   string                    // where the proxy listens, once it leads somewhere
	self      netip.Addr                // the node's address
	self4     netip.Addr                // what stands for it in IPv4; invalid if nothing does
	fourth    map[netip.Addr]netip.Addr // those of peers
	open      map[netip.Addr]string     // node ids of those that have a tunnel, or are about to
}

// reach is an agent that may be reached.
type reach struct {
	names.Host
	state string // as the coordinator has it
}

// errDown is why a daemon ends that was asked to, and errYield why one does whose place
// another takes.
var (
	errDown  = errors.New("asked to")
	errYield = errors.New("asked to make room for another")
)

// Run runs a daemon until ctx is done, it is asked to end over its socket, or its
// node ends for good. Nothing of it is left behind.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Suffix == "" {
		cfg.Suffix = DefaultSuffix
	}
	if cfg.Interface == "" {
		cfg.Interface = hostnet.DefaultName
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d := &daemon{
		cfg: cfg, log: cfg.Logger, ctx: ctx, stop: stop, listed: make(chan struct{}),
		reachable: make(map[string][]reach),
		hosts:     make(map[netip.Addr]*reach), open: make(map[netip.Addr]string),
	}
	// The socket comes first: who has it is the machine's one daemon.
	local, err := listenLocal(cfg.Socket, cfg.Users)
	if err != nil {
		return err
	}
	defer d.serveLocal(local)()
	// Who was there before may not have had the time to clean up.
	if err := d.restoreResolver(); err != nil {
		d.log.Warn("what an earlier daemon left in the resolver's settings stays", "err", err)
	}
	err = d.run(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errDown) || errors.Is(cause, errYield) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	return err
}

// run is Run with the socket open.
func (d *daemon) run(ctx context.Context) error {
	if d.cfg.Proxy != "" {
		return d.runProxy(ctx)
	}
	dev, err := hostnet.Open(d.cfg.Interface)
	if err != nil {
		return err
	}
	d.ifc, _ = dev.Name() // it cannot fail
	d.gate = hostnet.NewGate(dev, d.need)
	addressed := make(chan netip.Addr, 1)

	ctx, cancel := context.WithCancel(ctx)
	defer d.wait()
	defer cancel()
	d.wg.Go(func() { d.follow(ctx) })
	was := d.recall()
	node, err := tunnel.Start(ctx, tunnel.Config{
		URL: d.cfg.Client.URL(), Token: d.cfg.Client.Token(), Version: d.cfg.Version, Logger: d.log,
		Path: d.cfg.Path, Persist: true, Device: d.gate, Leads: d.inPool, Identity: was, Adopts: was != nil,
		Addressed: func(a netip.Addr) {
			select { // the last one counts
			case <-addressed:
			default:
			}
			addressed <- a
		},
	})
	if err != nil {
		if errors.Is(err, tunnel.ErrRefused) {
			d.forget() // who it was may be what is refused
		}
		return err
	}
	defer d.leave(node)
	address := <-addressed
	d.remember(node)
	if err := d.lay(dev, address); err != nil {
		return err
	}
	d.mu.Lock()
	d.node = node
	d.mu.Unlock()
	collided := make(chan struct{}, 1)
	d.wg.Go(func() { d.watchPool(ctx, collided) })

	closeDNS, err := d.serveNames()
	if err != nil {
		return err
	}
	defer closeDNS()
	defer d.wait() // before the node goes
	defer cancel()
	d.wg.Go(func() { d.dropIdle(ctx, connectedTo) })
	if err := d.awaitNames(ctx, node, func() {
		if was != nil {
			d.adopt(node)
		}
	}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-node.Done():
			return node.Err()
		case address = <-addressed:
			d.remember(node)
			if err := d.lay(dev, address); err != nil {
				return err
			}
		case <-collided:
			d.log.Warn("another network of this machine uses the workspaces' IPv4 addresses; they get others", "at", address)
			if err := d.lay(dev, address); err != nil {
				return err
			}
		}
	}
}

// wait waits for all that the daemon has begun, and has it begin nothing more.
func (d *daemon) wait() {
	d.mu.Lock()
	d.ending = true
	d.mu.Unlock()
	d.wg.Wait()
}

// runProxy is run without an interface.
func (d *daemon) runProxy(ctx context.Context) error {
	d.gate = hostnet.NewGate(nil, d.need) // for what it knows of tunnels
	ctx, cancel := context.WithCancel(ctx)
	defer d.wait()
	defer cancel()
	// A port that is taken is told before anything is waited for.
	p, err := d.openProxy(d.cfg.Proxy)
	if err != nil {
		return err
	}
	defer p.Close()
	if d.cfg.LinksOf == "" {
		d.wg.Go(func() { d.follow(ctx) })
	} else {
		d.me = d.cfg.LinksOf // nobody else is there yet
		close(d.listed)
	}
	node, err := tunnel.Start(ctx, tunnel.Config{
		URL: d.cfg.Client.URL(), Token: d.cfg.Client.Token(), Renew: d.cfg.Client.Renew(), OfWorkspace: d.cfg.LinksOf != "",
		Version: d.cfg.Version, Logger: d.log, Path: d.cfg.Path, Persist: true,
	})
	if err != nil {
		return err
	}
	defer node.Close()
	d.mu.Lock()
	d.node, d.proxyAt = node, p.l.Addr().String()
	d.mu.Unlock()
	defer d.wait() // before the node goes
	defer cancel()
	d.wg.Go(func() {
		d.dropIdle(ctx, func() (map[netip.Addr]bool, bool) { return p.connected(), true })
	})
	if err := d.awaitNames(ctx, node, func() {}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-node.Done():
		return node.Err()
	}
}

// awaitNames waits until the workspaces are known, does what has to wait for that, and says
// that the daemon is ready.
func (d *daemon) awaitNames(ctx context.Context, node *tunnel.Node, then func()) error {
	select {
	case <-d.listed:
	case <-ctx.Done():
		return ctx.Err()
	case <-node.Done():
		return node.Err()
	}
	then()
	if d.cfg.Ready != nil {
		d.cfg.Ready(d.status())
	}
	return nil
}

// serveNames answers for the mesh's names and has the machine ask. The function it
// returns ends that.
func (d *daemon) serveNames() (stop func(), err error) {
	server, err := names.New(names.Config{
		Suffix: d.cfg.Suffix, Table: &d.table, Logger: d.log,
		Owns:  d.owns,
		Asked: func(h names.Host) { d.gate.Open(h.Addr) },
		Others: func() []netip.Addr {
			if r := d.resolver.Load(); r != nil {
				return r.Others()
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	var listens []netip.AddrPort
	for _, at := range d.responders() {
		if err := server.Listen(at); err != nil {
			d.log.Debug("names are not answered everywhere", "at", at, "err", err)
			continue
		}
		listens = append(listens, at)
	}
	if d.cfg.NoDNS {
		return server.Close, nil
	}
	if len(listens) == 0 {
		d.log.Warn("nobody answers for the mesh's names: the port is taken everywhere", "tried", d.responders())
		return server.Close, nil
	}
	made, err := hostnet.OpenResolver(hostnet.ResolverConfig{Interface: d.ifc, Suffix: d.cfg.Suffix, Reverse: d.ranges(), Server: listens[0]})
	if err != nil {
		d.log.Warn("programs do not find the mesh's names; addresses work", "err", err)
		return server.Close, nil
	}
	d.resolver.Store(made)
	d.log.Info("names of the mesh are looked up", "suffix", d.cfg.Suffix, "by", made.How(), "at", listens[0])
	return func() {
		if err := made.Close(); err != nil {
			d.log.Warn("the resolver's settings stay as they are", "err", err)
		}
		server.Close()
	}, nil
}

// responders are where names are answered. On loopback, programs find out at once
// when there is nobody any more, and it works where IPv6 is off.
func (d *daemon) responders() []netip.AddrPort {
	list := []netip.AddrPort{hostnet.LoopbackDNS}
	for _, a := range d.others() {
		list = append(list, netip.AddrPortFrom(a, dnsPort))
	}
	return list
}

// others are the interface's addresses beside the node's.
func (d *daemon) others() []netip.Addr {
	if hostnet.MeshDNS {
		return []netip.Addr{meshDNS}
	}
	return nil
}

// status is what programs get to know.
func (d *daemon) status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		State: StateJoining, PID: os.Getpid(), Version: d.cfg.Version, URL: d.cfg.Client.URL().String(), User: d.me,
		Session:   SessionOf(d.cfg.Client.Token()),
		Interface: d.ifc, Proxy: d.proxyAt, Suffix: d.cfg.Suffix, Self: tunnel.Self{Endpoints: []string{}}, Peers: []Peer{}, Relays: []tunnel.Relay{},
	}
	if d.node == nil {
		return s
	}
	s.State, s.Self, s.Relays = StateUp, d.node.Self(), d.node.Relays()
	known := make(map[string]tunnel.Peer)
	for _, p := range d.node.Peers() {
		known[p.ID] = p
	}
	for _, h := range d.hosts {
		s.Peers = append(s.Peers, describe(h, known, d.open[h.Addr] != ""))
	}
	sortPeers(s.Peers)
	return s
}

// find returns the agent with a node id, and the node to reach it with.
func (d *daemon) find(id string) (*reach, *tunnel.Node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.node == nil {
		return nil, nil, errors.New("the coordinator has not let the daemon in yet")
	}
	for _, h := range d.hosts {
		if h.ID == id {
			return h, d.node, nil
		}
	}
	return nil, nil, fmt.Errorf("daemon: peer %s: %w", id, tunnel.ErrPeerNotFound)
}

// restoreResolver takes out what an earlier daemon has left, unless the resolver is
// none of ours to set.
func (d *daemon) restoreResolver() error {
	if d.cfg.NoDNS || d.cfg.Proxy != "" {
		return nil
	}
	return hostnet.RestoreResolver(d.cfg.Suffix)
}

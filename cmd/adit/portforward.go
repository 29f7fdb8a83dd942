package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/tunnel"
)

const (
	// listTimeout is how long it may take to say what listens in a workspace, which
	// only explains something.
	listTimeout = 3 * time.Second

	// explainEvery is how often it is asked for at most.
	explainEvery = time.Second

	// sessionRetry is how soon a forward is set up again whose agent went away.
	sessionRetry = time.Second
)

func newPortForwardCmd(a *app) *cobra.Command {
	var flags portFlags
	var reverse bool
	cmd := &cobra.Command{
		Use: "port-forward WS [[BIND:]LISTEN[:TARGET]...]", Short: "Reach a workspace's ports on this machine, or this machine's in the workspace",
		Long: `Reach a workspace's ports on this machine, or with --reverse this machine's in
the workspace. LISTEN is where connections are taken, TARGET where they lead to.

Ports that the workspace's programs bind to localhost are reached, too. What is
given without a flag is for TCP.`,
		Example: `  adit port-forward dev --tcp 8080:80                # localhost:8080 is port 80 of dev
  adit port-forward dev 8080:80 9000                 # the same, and port 9000
  adit port-forward dev --tcp 3000,0.0.0.0:5432:5432 --udp 5353:53
  adit port-forward dev --tcp 8000-8010:9000-9010
  adit port-forward dev --tcp 2375:/var/run/docker.sock
  adit port-forward dev --unix /tmp/pg.sock:/run/postgresql/.s.PGSQL.5432
  adit port-forward dev --reverse --tcp 9229         # port 9229 of dev is this machine's`,
		Args: args(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			for _, ports := range argv[1:] {
				flags.tcp = append(flags.tcp, strings.Split(ports, ",")...)
			}
			specs, err := flags.parse()
			if err != nil {
				return usageError{err}
			}
			return portForward(cmd.Context(), a, argv[0], specs, reverse)
		},
	}
	a.pathFlags(cmd)
	const form = "[BIND:]LISTEN[:TARGET], ranges such as 8000-8010:9000-9010, a list or repeated"
	cmd.Flags().StringSliceVar(&flags.tcp, "tcp", nil, form+"; either may be the path of a unix socket")
	cmd.Flags().StringSliceVar(&flags.udp, "udp", nil, form)
	cmd.Flags().StringSliceVar(&flags.unix, "unix", nil, "PATH:PATH of unix sockets, a list or repeated")
	cmd.Flags().BoolVarP(&reverse, "reverse", "R", false, "listen in the workspace, and lead to this machine")
	return cmd
}

func portForward(ctx context.Context, a *app, name string, specs []portSpec, reverse bool) error {
	return forwardPorts(ctx, a, name, specs, reverse, func(*portForwarder) error { return nil })
}

// forwardPorts forwards until ctx ends, and calls opened once it does.
func forwardPorts(ctx context.Context, a *app, name string, specs []portSpec, reverse bool, opened func(*portForwarder) error) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &portForwarder{app: a, forwards: forwards{cancel: cancel}, failed: make(chan error, len(specs)), log: a.logger(slog.LevelInfo)}
	defer f.Close()
	if !reverse {
		// Ports that are taken are told before anything is waited for.
		for _, spec := range specs {
			if err := f.listen(ctx, spec); err != nil {
				return err
			}
		}
	}
	t, err := a.connect(ctx, name, connectTimeout)
	if err != nil {
		return err
	}
	defer t.node.Close()
	defer f.Close() // before the node
	f.to(t)
	if reverse {
		for _, spec := range specs {
			f.wg.Go(func() { f.reverse(ctx, spec) })
		}
	} else {
		f.start(ctx)
	}
	if err := opened(f); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-f.failed:
		return err
	case <-t.node.Done():
		return fmt.Errorf("workspace %s: %w", t.name, t.node.Err())
	}
}

// portForwarder is the forwards of one command.
type portForwarder struct {
	forwards
	app    *app
	log    *slog.Logger
	target *target
	agent  port.Client
	// failed gets what cannot be forwarded at all.
	failed chan error

	streams   []portSpec        // those of the listeners, in their order
	sockets   []*port.Datagrams // of udp, in its order
	udp       []portSpec
	addresses []net.Addr

	mu        sync.Mutex // guards explained
	explained time.Time
}

// Close ends all forwards and waits for them.
func (f *portForwarder) Close() {
	f.cancel()
	for _, s := range f.sockets {
		s.Close()
	}
	f.forwards.Close()
}

// listen takes the place of a spec on this machine.
func (f *portForwarder) listen(ctx context.Context, spec portSpec) error {
	if spec.udp {
		socket, err := port.ListenUDP(ctx, spec.listen.address())
		if err != nil {
			return fmt.Errorf("%w; choose another local port", err)
		}
		f.sockets, f.udp, f.addresses = append(f.sockets, port.NewDatagrams(socket)), append(f.udp, spec), append(f.addresses, socket.LocalAddr())
		return nil
	}
	l, err := port.Listen(ctx, spec.network(), spec.listen.address())
	if err != nil {
		return fmt.Errorf("%w; choose another local port", err)
	}
	f.listeners, f.streams = append(f.listeners, l), append(f.streams, spec)
	return nil
}

// to says whose agent it is.
func (f *portForwarder) to(t *target) {
	f.target = t
	at := netip.AddrPortFrom(t.addr, port.Port)
	f.agent = port.Client{Dial: func(ctx context.Context, network string) (net.Conn, error) {
		if network == port.UDP {
			return t.node.DialUDP(ctx, at)
		}
		return t.node.DialTCP(ctx, at)
	}}
}

// start begins to carry what comes to the listeners.
func (f *portForwarder) start(ctx context.Context) {
	for i, l := range f.listeners {
		spec := f.streams[i]
		fmt.Fprintf(f.app.out, "Forwarding %s to %s of %s\n", l.Addr(), spec.destination(), f.target.name)
		f.wg.Go(func() { f.accept(l, func(conn net.Conn) { f.carry(ctx, spec, conn) }) })
	}
	for i, spec := range f.udp {
		fmt.Fprintf(f.app.out, "Forwarding UDP %s to %s of %s\n", f.addresses[i], spec.destination(), f.target.name)
		f.wg.Go(func() {
			f.repeat(ctx, fmt.Sprintf("forward UDP %s", f.addresses[i]), func(ready func()) error {
				return f.agent.ForwardUDP(ctx, f.sockets[i], spec.to.port, ready, func() { f.explain(ctx, spec, errors.New("refused")) })
			})
		})
	}
	f.wg.Go(func() { f.warn(ctx) })
}

// carry carries a connection to the workspace.
func (f *portForwarder) carry(ctx context.Context, spec portSpec, conn net.Conn) {
	var far net.Conn
	var err error
	if spec.to.path != "" {
		far, err = f.agent.DialUnix(ctx, spec.to.path)
	} else {
		far, err = f.target.node.DialTCP(ctx, netip.AddrPortFrom(f.target.addr, spec.to.port))
	}
	if err != nil {
		f.explain(ctx, spec, err)
		conn.Close()
		return
	}
	joinConns(ctx, conn, far)
}

// warn says of what is forwarded that nothing listens there yet.
func (f *portForwarder) warn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := f.agent.List(ctx)
	if err != nil {
		f.log.Debug("what listens in the workspace is not known", "err", err)
		return
	}
	for _, spec := range append(f.streams[:len(f.streams):len(f.streams)], f.udp...) {
		network := port.TCP
		if spec.udp {
			network = port.UDP
		}
		if spec.to.path == "" && !listens(list, network, spec.to.port) {
			fmt.Fprintf(f.app.err, "Nothing listens on %s of %s yet; what does: %s\n", spec.destination(), f.target.name, foreign.Printable(port.Tell(list, network)))
		}
	}
}

func listens(list []port.Listening, network string, number uint16) bool {
	for _, l := range list {
		if l.Network == network && l.Port == number {
			return true
		}
	}
	return false
}

// explain says why something was not reached, and at times what would be.
func (f *portForwarder) explain(ctx context.Context, spec portSpec, why error) {
	var refused *port.RefusedError
	if errors.As(why, &refused) {
		f.log.Warn("connection refused by the workspace", "err", refused.Text)
		return
	}
	if errors.Is(why, tunnel.ErrDenied) {
		f.log.Warn("connection denied by the workspace's node: the policy, or the template, does not admit it", "port", spec.to.port)
		return
	}
	f.mu.Lock()
	ask := time.Since(f.explained) >= explainEvery
	if ask {
		f.explained = time.Now()
	}
	f.mu.Unlock()
	network := port.TCP
	if spec.udp {
		network = port.UDP
	}
	if ask && ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		if list, err := f.agent.List(ctx); err == nil && !listens(list, network, spec.to.port) {
			f.log.Warn("connection refused by the workspace: nothing listens there", "port", spec.to.port, "listening", foreign.Printable(port.Tell(list, network)))
			return
		}
	}
	f.log.Warn("connection refused by the workspace", "port", spec.to.port, "err", why)
}

// reverse has the workspace listen for as long as ctx lasts.
func (f *portForwarder) reverse(ctx context.Context, spec portSpec) {
	f.repeat(ctx, fmt.Sprintf("forward %s of %s", spec.listen.address(), f.target.name), func(ready func()) error {
		return f.agent.Listen(ctx, port.Reverse{
			Network: spec.network(), Address: spec.listen.address(),
			Dial: func(ctx context.Context) (net.Conn, error) {
				if spec.to.path != "" {
					return new(net.Dialer).DialContext(ctx, port.Unix, spec.to.path)
				}
				return port.Dial(ctx, spec.to.port)
			},
			DialUDP: func() (*net.UDPConn, error) { return port.DialUDP(spec.to.port) },
			Ready: func(address string) {
				ready()
				udp := ""
				if spec.udp {
					udp = "UDP "
				}
				fmt.Fprintf(f.app.out, "Forwarding %s%s of %s to %s of this machine\n", udp, foreign.Printable(address), f.target.name, spec.destination())
			},
			Failed: func(err error) {
				f.log.Warn("a connection from the workspace leads nowhere", "to", spec.destination(), "err", err)
			},
		})
	})
}

// repeat sets something up again whenever it ends. What the agent does not do the
// first time it will not do later.
func (f *portForwarder) repeat(ctx context.Context, what string, hold func(ready func()) error) {
	for once := false; ; {
		err := hold(func() { once = true })
		if ctx.Err() != nil {
			return
		}
		if !once {
			f.failed <- fmt.Errorf("%s: %w", what, err)
			return
		}
		f.log.Warn("a forward is set up again", "what", what, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(sessionRetry):
		}
	}
}

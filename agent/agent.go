// Package agent is what runs inside a workspace: a mesh node that serves SSH,
// speed tests and the workspace's ports to those the coordinator lets through,
// runs the scripts of the workspace's template, and reports what it measures and
// does.
//
// [Run] does everything and returns when its context ends, or when the
// coordinator has refused the agent for good.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/aditmesh/adit/agent/app"
	"github.com/aditmesh/adit/agent/audit"
	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/agent/files"
	"github.com/aditmesh/adit/agent/metadata"
	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/agent/pty"
	"github.com/aditmesh/adit/agent/script"
	"github.com/aditmesh/adit/agent/speed"
	"github.com/aditmesh/adit/agent/ssh"
	"github.com/aditmesh/adit/agent/stats"
	"github.com/aditmesh/adit/pkg/memory"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/path"
)

// loginEnvironment is what a login adds to its environment.
const loginEnvironment = "/etc/environment"

// ServeFilesCommand is the argument with which the agent's own program serves SFTP on
// its standard input and output; see [ssh.ServeFiles].
const ServeFilesCommand = "serve-files"

// sshPort is where SSH is served on the mesh.
const sshPort = 22

// Config configures an agent.
type Config struct {
	// URL of the coordinator.
	URL *url.URL
	// Token of the agent.
	Token   string
	Version string
	Logger  *slog.Logger
	// Path is what the node is to do without on its way to peers.
	Path path.Options
	// StatsEvery is how often the agent reports what it did. Zero means each minute.
	StatsEvery time.Duration
	// Start starts programs of the workspace; nil starts them as they are, with the
	// agent's own priority.
	Start family.Starter
	// Suffixes are what names of workspaces end in for clients.
	Suffixes []string
	// AllowUpdate lets people have the agent replace its program by its coordinator's.
	AllowUpdate bool
	// Handover is from the agent that was updated to this one.
	Handover Handover
}

// Run joins the mesh and serves until ctx ends, which is no error, or until it is
// [Updated]. It waits for a coordinator that cannot be reached yet.
func Run(ctx context.Context, cfg Config) error {
	out := newOutgoing()
	node, err := tunnel.Start(ctx, tunnel.Config{
		URL: cfg.URL, Token: cfg.Token, Logger: cfg.Logger, Version: cfg.Version, Persist: true, Path: cfg.Path, Agent: true, Report: out.take,
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("agent: %w", err)
	}
	// People come as soon as the node is there. Those who come before the agent
	// knows what it is to be wait; without a listener they would be refused.
	l, err := node.ListenTCP(sshPort)
	if err != nil {
		return errors.Join(fmt.Errorf("agent: %w", err), node.Close())
	}
	coordinator := sdk.New(cfg.URL, cfg.Token)
	m, err := askManifest(ctx, coordinator, node, cfg.Logger)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	hostKey, err := hostKey(m, cfg.Token)
	if err != nil {
		return errors.Join(fmt.Errorf("agent: %w", err), node.Close())
	}
	account := ssh.CurrentAccount()
	home := place{account: account, dir: directory(m.Directory, account.Home), env: sessionEnv(os.Environ(), m), start: cfg.Start}
	audited := func(r audit.Record) { out.audited(sessionReport(node, r)) }
	tally := stats.Tally{Visits: &audit.Visits{Tell: audited}}
	terminals := &pty.Sessions{Scope: node.ID(), Start: cfg.Start}
	updates := newUpdater(cfg, coordinator, &tally, terminals)
	stopSelf := serveSelf(cfg, coordinator, m, &home, out, updates)
	defer home.helpGit(coordinator, cfg.Logger)()
	scripts := home.scripts(m, coordinator, cfg, out)
	out.begins(cmp.Or(home.dir, account.Home))
	scripts.Start()
	updates.scripts.Store(scripts)
	watch, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() { updates.run(watch) })
	watching.Go(func() { watchPorts(watch, m, node, out, cfg.Logger) })
	watching.Go(func() { app.Run(watch, home.apps(m, out.apps, cfg.Logger)) })
	watching.Go(func() { metadata.Run(watch, home.metadata(m, out.measured)) })
	watching.Go(func() {
		stats.Run(watch, stats.Config{Tally: &tally, Dir: account.Home, RoundTrips: func() []time.Duration { return roundTrips(node) }, Report: out.counted, Rests: func() { rest(cfg.Logger) }, Every: cfg.StatsEvery})
	})
	err = serve(ctx, cfg, node, l, &tally, ssh.New(ssh.Config{
		HostKey: hostKey, Account: account, Env: home.env, EnvNow: func() []string { return whereEnv(m, node.Name()) }, EnvFile: loginEnvironment, Dir: home.dir, Start: cfg.Start, Terminals: terminals, Tally: &tally, Logger: cfg.Logger,
		FileServer: fileServer(cfg.Logger), Subsystems: updates.subsystem(),
		Audit:  audited,
		Policy: ssh.Policy{NoFileTransfer: m.ForbidFileTransfer, NoForwarding: m.ForbidForwarding},
	}), services{ports: !m.ForbidForwarding, files: !m.ForbidFileTransfer, home: account.Home, restart: updates.restart})
	tally.Visits.Close()
	unwatch()
	watching.Wait() // the last report goes out before the node says bye
	var updated *Updated
	if errors.As(err, &updated) {
		updated.Handover = handOver(scripts)
	} else {
		scripts.Stop()
	}
	return errors.Join(err, stopSelf(), node.Close())
}

// handOver ends scripts for an agent that takes over.
func handOver(scripts *script.Runner) Handover {
	var h Handover
	var outputs []script.Output
	h.Scripts, outputs = scripts.HandOver()
	for _, o := range outputs {
		h.Outputs = append(h.Outputs, HandedOutput{o.Script, o.File.Fd(), o.File})
	}
	return h
}

// hostKey is the one that the coordinator wants, and vouches for.
func hostKey(m sdk.Manifest, token string) (gossh.Signer, error) {
	seed := m.HostKeySeed
	if len(seed) == 0 {
		var err error
		if seed, err = ssh.TokenSeed(token); err != nil {
			return nil, err
		}
	}
	return ssh.HostKey(seed)
}

// roundTrips are those to the clients whose packets come directly.
func roundTrips(node *tunnel.Node) []time.Duration {
	var list []time.Duration
	for _, p := range node.Peers() {
		if p.RTT > 0 {
			list = append(list, p.RTT)
		}
	}
	return list
}

// fileServer is the program that serves SFTP: this one.
func fileServer(log *slog.Logger) []string {
	program, err := os.Executable()
	if err != nil {
		log.Warn("no files are served", "err", err)
		return nil
	}
	return []string{program, ServeFilesCommand}
}

// services are what is served beside SSH and speed tests.
type services struct {
	ports, files bool
	home         string          // where names of files begin
	restart      <-chan struct{} // closed when another program is to be started
}

// serve serves SSH, speed tests and what else may be on the node until one of them
// ends.
func serve(ctx context.Context, cfg Config, node *tunnel.Node, l net.Listener, tally *stats.Tally, server *ssh.Server, also services) error {
	tests, err := listenSpeed(node, cfg.Logger)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	fromPages := newOwnListener()
	var filesOfPages *ownListener
	if also.files {
		filesOfPages = newOwnListener()
	}
	pages, offers, err := listenBrowsers(cfg, node, fromPages, filesOfPages, also.ports)
	if err != nil {
		return errors.Join(fmt.Errorf("agent: %w", err), tests.Close())
	}
	serving := []func() error{
		func() error { return server.Serve(l) }, func() error { return server.Serve(fromPages) }, func() error { return pages.Serve(offers) }, tests.Serve,
	}
	closing := []io.Closer{pages, server, tests}
	if also.files {
		l, err := node.ListenTCP(files.Port)
		if err != nil {
			return errors.Join(fmt.Errorf("agent: %w", err), tests.Close())
		}
		shelf := files.NewServer(files.Config{Home: also.home, Tally: tally, Suffixes: cfg.Suffixes, Logger: cfg.Logger})
		serving = append(serving, func() error { return shelf.Serve(l) }, func() error { return shelf.Serve(filesOfPages) })
		closing = append(closing, shelf)
	}
	if also.ports {
		forwards, err := listenForwards(node, tally, cfg.Logger)
		if err != nil {
			return errors.Join(fmt.Errorf("agent: %w", err), tests.Close())
		}
		serving, closing = append(serving, forwards.Serve), append(closing, forwards)
		node.HandleTCP(openPort(tally))
	}
	served := make(chan error, len(serving))
	for _, serve := range serving {
		go func() { served <- serve() }()
	}
	rest(cfg.Logger)
	cfg.Logger.Info("agent ready", "name", node.Name(), "address", node.Address())

	running := cap(served)
	select {
	case <-ctx.Done():
	case <-also.restart:
		err = new(Updated)
	case <-node.Done():
		err = fmt.Errorf("agent: %w", node.Err())
	case err = <-served:
		running--
	}
	var closeErr error
	for _, c := range closing {
		closeErr = errors.Join(closeErr, c.Close())
	}
	for range running {
		<-served
	}
	return errors.Join(err, closeErr)
}

// rest gives back the memory that nobody needs now: after the start, and when the last
// session has gone.
func rest(log *slog.Logger) {
	if err := memory.Rest(); err != nil {
		log.Debug("more memory is held than need be", "err", err)
	}
}

// openPort carries a connection to a port of the workspace, and counts it.
func openPort(tally *stats.Tally) func(context.Context, uint16) (func(net.Conn), error) {
	return func(ctx context.Context, p uint16) (func(net.Conn), error) {
		join, err := port.Open(ctx, p)
		if err != nil {
			return nil, err
		}
		return func(peer net.Conn) { join(tally.Conn(stats.Forward, peer)) }, nil
	}
}

// listenSpeed listens for speed tests.
func listenSpeed(node *tunnel.Node, log *slog.Logger) (*speed.Server, error) {
	l, err := node.ListenTCP(speed.Port)
	if err != nil {
		return nil, err
	}
	packets, err := node.ListenUDP(speed.Port)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return speed.NewServer(l, packets, log), nil
}

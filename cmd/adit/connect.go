package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
	"github.com/aditmesh/adit/tunnel/daemon"
	"github.com/aditmesh/adit/tunnel/path"
)

const (
	// connectTimeout is how long a command waits for an agent that is not
	// connected, unless somebody is watching.
	connectTimeout = 30 * time.Second

	// daemonAnswersIn is how long a daemon may take to say who it is before a command
	// does without.
	daemonAnswersIn = time.Second

	// progressAfter is when waiting becomes worth a word.
	progressAfter = time.Second
)

// meshSuffix may follow a workspace's name where a host name is expected.
const meshSuffix = ".adit"

// findWorkspace returns the workspace that text names, and the name read.
func findWorkspace(ctx context.Context, c *sdk.Client, text string) (sdk.Workspace, sdk.WorkspaceName, error) {
	name, err := sdk.ParseWorkspaceName(strings.TrimSuffix(text, meshSuffix))
	if err != nil {
		return sdk.Workspace{}, name, usageError{err}
	}
	if isOfWorkspace(c) {
		w, err := c.LinkedWorkspace(ctx, name.Owner, name.Name)
		if errors.Is(err, sdk.ErrNotFound) {
			err = fmt.Errorf("no workspace %s, or no link of the policy leads there from this one; 'adit policy edit' makes some", name)
		}
		return w, name, err
	}
	w, err := c.Workspace(ctx, name.Owner, name.Name)
	if errors.Is(err, sdk.ErrNotFound) {
		list := "'adit list' shows yours"
		if name.Owner != "me" {
			list = "'adit list --shared' shows those of others that you may see"
		}
		return w, name, fmt.Errorf("no workspace %s; %s", name, list)
	}
	return w, name, err
}

// meshNode is what commands need of a node: one of their own, or the daemon's.
type meshNode interface {
	Connect(ctx context.Context, id string) (netip.Addr, error)
	DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	DialUDP(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	Ping(ctx context.Context, to netip.Addr) (time.Duration, error)
	Peer(id string) (tunnel.Peer, bool)
	Done() <-chan struct{}
	Err() error
	Close() error
}

var (
	_ meshNode = (*tunnel.Node)(nil)
	_ meshNode = (*daemon.Node)(nil)
)

// target is an agent that a node is linked to.
type target struct {
	node      meshNode
	workspace sdk.Workspace
	agent     sdk.Agent
	name      sdk.WorkspaceName
	addr      netip.Addr
}

// connect joins the mesh and links to the agent that text names. It waits
// until the workspace has started and the agent is connected, for neither
// longer than wait. The caller closes the node.
func (a *app) connect(ctx context.Context, text string, wait time.Duration) (*target, error) {
	c, err := a.meshClient(ctx)
	if err != nil {
		return nil, err
	}
	// The two have nothing to do with each other, and each is a round trip.
	started := make(chan error, 1)
	var node meshNode
	go func() {
		var err error
		node, err = a.meshNode(ctx, c)
		started <- err
	}()
	w, name, findErr := findWorkspace(ctx, c, text)
	startErr := <-started
	if findErr != nil {
		if startErr == nil {
			node.Close()
		}
		return nil, findErr
	}
	if startErr != nil {
		return nil, startErr
	}
	t := &target{node: node, name: name}
	t.workspace, err = a.awaitBuild(ctx, c, w, wait)
	if err == nil {
		err = t.link(ctx, a, t.workspace, wait)
	}
	if err != nil {
		node.Close()
		return nil, err
	}
	return t, nil
}

// meshNode returns the node of the daemon that is up in the same session, unless
// something else is asked of it, or starts one.
func (a *app) meshNode(ctx context.Context, c *sdk.Client) (meshNode, error) {
	if d, _, ok := a.daemon(ctx, c); ok {
		return daemon.NewNode(d), nil
	}
	node, err := a.startNode(ctx, c)
	if err != nil {
		return nil, err // and no nil node that is not nil
	}
	return node, nil
}

// daemon finds the daemon that is up in the session of c, with an interface.
func (a *app) daemon(ctx context.Context, c *sdk.Client) (*daemon.Client, daemon.Status, bool) {
	if a.path != (path.Options{}) || isOfWorkspace(c) { // no daemon goes by links but without an interface
		return nil, daemon.Status{}, false
	}
	for _, socket := range daemon.Sockets() {
		d := daemon.NewClient(socket)
		asked, cancel := context.WithTimeout(ctx, daemonAnswersIn)
		s, err := d.Status(asked)
		cancel()
		if err == nil && s.State == daemon.StateUp && s.Interface != "" && s.URL == c.URL().String() && s.Session == daemon.SessionOf(c.Token()) {
			return d, s, true
		}
	}
	return nil, daemon.Status{}, false
}

func (a *app) startNode(ctx context.Context, c *sdk.Client) (*tunnel.Node, error) {
	return tunnel.Start(ctx, tunnel.Config{
		URL: c.URL(), Token: c.Token(), Renew: c.Renew(), OfWorkspace: isOfWorkspace(c), Version: version, Logger: a.clientLogger(), Path: a.path,
	})
}

func (t *target) link(ctx context.Context, a *app, w sdk.Workspace, wait time.Duration) error {
	agent, err := w.Agent(t.name)
	if err != nil {
		return err
	}
	t.agent = agent
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	stop := a.progress(fmt.Sprintf("Waiting for the agent of %s (%s)…", t.name, agent.State))
	defer stop()
	t.addr, err = t.node.Connect(ctx, agent.NodeID)
	switch {
	case errors.Is(err, tunnel.ErrPeerOffline):
		try := "start it on the workspace's host with 'adit agent'"
		if !w.External {
			try = fmt.Sprintf("'adit logs %s' may tell why, 'adit restart %s' makes a new one", w.Ref(), w.Ref())
		}
		return fmt.Errorf("the agent of workspace %s is not connected (%s, last seen %s); %s", t.name, agent.State, ago(agent.LastConnectedAt), try)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the agent of workspace %s did not answer within %v", t.name, wait)
	}
	return err
}

// progress says what is waited for, if it takes long enough to wonder and
// somebody is there to read it. The function it returns ends that.
func (a *app) progress(text string) (stop func()) {
	if !isTerminal(a.err) {
		return func() {}
	}
	shown := make(chan bool, 1)
	timer := time.AfterFunc(progressAfter, func() {
		fmt.Fprint(a.err, text)
		shown <- true
	})
	return func() {
		if !timer.Stop() {
			<-shown
			fmt.Fprint(a.err, "\r\x1b[K")
		}
	}
}

// completeWorkspace completes a workspace's name from one's own and from those
// that others share.
func (a *app) completeWorkspace(cmd *cobra.Command, argv []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil || len(argv) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := c.Workspaces(cmd.Context(), "me")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, w := range list {
		names = append(names, w.Name)
	}
	shared, err := c.SharedWorkspaces(cmd.Context())
	if err != nil {
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	for _, w := range shared {
		names = append(names, w.Owner+"/"+w.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

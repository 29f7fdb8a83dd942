package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"google.golang.org/grpc/test/bufconn"

	"github.com/aditmesh/adit/agent/browser"
	"github.com/aditmesh/adit/agent/port"
	"github.com/aditmesh/adit/pkg/terminal"
	"github.com/aditmesh/adit/tunnel"
)

const (
	// insideBuffer is how much waits, each way, between a page's channel and the SSH
	// server.
	insideBuffer = 64 << 10

	// insideTimeout bounds how long a session may take to open.
	insideTimeout = 10 * time.Second
)

// listenBrowsers listens for what pages offer. Their terminals are sessions of the SSH
// server, which accepts from inside, and so does the server of files, if there is one.
func listenBrowsers(cfg Config, node *tunnel.Node, in, files *ownListener, ports bool) (*browser.Server, net.Listener, error) {
	l, err := node.ListenTCP(browser.Port)
	if err != nil {
		return nil, nil, err
	}
	of := browser.Config{Open: in.open, Host: cfg.URL.Hostname(), Logger: cfg.Logger}
	if files != nil {
		of.Files = files.dial
	}
	if ports {
		of.Port = port.Dial
	}
	return browser.NewServer(of), l, nil
}

// ownListener is a listener that only this process reaches.
type ownListener struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func newOwnListener() *ownListener {
	return &ownListener{conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *ownListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *ownListener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *ownListener) Addr() net.Addr { return ownAddr{} }

type ownAddr struct{}

func (ownAddr) Network() string { return "inside" }
func (ownAddr) String() string  { return "inside" }

// from is a connection that counts as one from elsewhere: from the node that a page's
// offer came by.
type from struct {
	net.Conn
	remote net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

// dial connects to who accepts, for a page.
func (l *ownListener) dial(ctx context.Context, remote net.Addr) (net.Conn, error) {
	pair := bufconn.Listen(insideBuffer)
	defer pair.Close()
	type accepted struct {
		net.Conn
		err error
	}
	ends := make(chan accepted, 1)
	go func() { // ends with pair
		c, err := pair.Accept()
		ends <- accepted{c, err}
	}()
	near, err := pair.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	far := <-ends
	if far.err != nil {
		return nil, errors.Join(far.err, near.Close())
	}
	select {
	case l.conns <- from{far.Conn, remote}:
	case <-l.over:
		return nil, errors.Join(net.ErrClosed, near.Close(), far.Close())
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), near.Close(), far.Close())
	}
	return near, nil
}

// open looks at a session for a page.
func (l *ownListener) open(ctx context.Context, remote net.Addr, at terminal.At) (browser.Session, error) {
	near, err := l.dial(ctx, remote)
	if err != nil {
		return nil, err
	}
	// A handshake has no context; what it waits for ends with the connection.
	limit := time.AfterFunc(insideTimeout, func() { near.Close() })
	defer limit.Stop()
	s, err := terminal.LookOverSSH(near, at, gossh.InsecureIgnoreHostKey()) // it is this process
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	return s, nil
}

package loadtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

// How a simulated node comes back, the same as a real one.
const (
	retryMin     = 250 * time.Millisecond
	retryMax     = 4 * time.Second
	healthyAfter = 20 * time.Second
	dialTimeout  = 10 * time.Second
)

// protocolVersion is the control protocol that simulated nodes speak.
const protocolVersion = 1

// node is a simulated agent or client on its control stream. It has its keys,
// and with them its place, for as long as it lives.
type node struct {
	url     *url.URL
	token   string
	version string
	http    *http.Client

	pub, disco [32]byte
	resume     string

	// welcomed is called in each session once the node is in, and down with all
	// that it hears from then on; ended with why a session ended. They are
	// called by the goroutine of run.
	welcomed func(*session)
	down     func(*meshv1.Down)
	ended    func(error)
}

// session is what a welcomed node sends on. Its methods may be called
// concurrently.
type session struct {
	id     string
	mu     sync.Mutex // guards sending, which gRPC lets one do at a time
	stream meshv1.Mesh_ConnectClient
}

// send sends one message. That it cannot is told by the session's end.
func (s *session) send(up *meshv1.Up) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.stream.Send(up)
}

func (s *session) self(endpoints ...string) {
	s.send(&meshv1.Up{Msg: &meshv1.Up_Self{Self: &meshv1.Self{Endpoints: endpoints}}})
}

func newNode(c Config, token string, hc *http.Client) *node {
	n := &node{
		url: c.Client.URL(), token: token, version: c.Version, http: hc,
		welcomed: func(*session) {}, down: func(*meshv1.Down) {}, ended: func(error) {},
	}
	rand.Read(n.pub[:])
	rand.Read(n.disco[:])
	return n
}

// errRefused is a node that the coordinator does not want back.
var errRefused = errors.New("refused for good")

// run keeps the node on the mesh until ctx is done or it is refused for good.
func (n *node) run(ctx context.Context) {
	pause := retryMin
	for {
		began := time.Now()
		err := n.session(ctx)
		if ctx.Err() != nil {
			return
		}
		n.ended(err)
		if errors.Is(err, errRefused) || errors.Is(err, rpc.ErrUnauthorized) {
			return
		}
		if time.Since(began) > healthyAfter {
			pause = retryMin
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause/2 + mathrand.N(pause/2)):
		}
		pause = min(2*pause, retryMax)
	}
}

// session is one session, from dial to its end.
func (n *node) session(ctx context.Context) error {
	dial, cancelDial := context.WithTimeout(ctx, dialTimeout)
	defer cancelDial()
	cc, err := rpc.Dial(dial, rpc.DialConfig{URL: n.url, Path: "/rpc/v1/node", Token: n.token, HTTPClient: n.http})
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := meshv1.NewMeshClient(cc).Connect(ctx)
	if err != nil {
		return fmt.Errorf("open control session: %w", err)
	}
	s := &session{stream: stream}
	s.send(&meshv1.Up{Msg: &meshv1.Up_Hello{Hello: &meshv1.Hello{
		Protocol: protocolVersion, PublicKey: n.pub[:], DiscoKey: n.disco[:], Version: n.version, ResumeToken: n.resume,
	}}})
	for {
		down, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("control session: %w", err)
		}
		switch m := down.GetMsg().(type) {
		case *meshv1.Down_Welcome:
			s.id, n.resume = m.Welcome.GetNodeId(), m.Welcome.GetResumeToken()
			n.welcomed(s)
		case *meshv1.Down_Error:
			if err := fatal(m.Error); err != nil {
				return err
			}
		}
		n.down(down)
	}
}

// fatal returns an error if what the coordinator said ends the session.
func fatal(e *meshv1.Error) error {
	switch {
	case e.GetPeer() != "":
		return nil
	case e.GetCode() == meshv1.Error_UNAVAILABLE:
		return fmt.Errorf("coordinator: %s", e.GetMessage())
	}
	return fmt.Errorf("%w: %s: %s", errRefused, e.GetCode(), e.GetMessage())
}

// bye leaves on purpose: the session ends and its peers are told gone.
func (s *session) bye() {
	s.send(&meshv1.Up{Msg: &meshv1.Up_Bye{Bye: &meshv1.Bye{}}})
}

// newHTTPClient dials the nodes' WebSockets. Each takes its connection away, so
// that there is nothing to keep.
func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
}

package derp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// protocolVersion is the protocol that this relay speaks.
	protocolVersion = 1

	// joinPath is where the coordinator serves relays.
	joinPath = "/rpc/v1/relay"

	// A broken session is made anew after a pause that doubles: several attempts
	// before the coordinator takes the relay out of the map.
	rejoinMin = 100 * time.Millisecond
	rejoinMax = 2 * time.Second

	// dialTimeout bounds one attempt.
	dialTimeout = 10 * time.Second

	// joinPing and joinTimeout find a coordinator that is gone as soon as it finds
	// a relay that is.
	joinPing    = 5 * time.Second
	joinTimeout = 5 * time.Second

	// loadEvery is how often the coordinator is told of the load: people look at it.
	loadEvery = 10 * time.Second
)

// What ends a relay for good.
var (
	// ErrRevoked is that the relay was deleted, or its token never was one.
	ErrRevoked = errors.New("the relay was deleted, or its token is wrong")
	// ErrInUse is that another relay is there with the same token.
	ErrInUse = errors.New("another relay runs with this token")
	// ErrRefused is that the coordinator does not take what the relay says of
	// itself.
	ErrRefused = errors.New("the coordinator refused the relay")
)

// membership keeps a relay's session with the coordinator.
type membership struct {
	url    *url.URL
	token  string
	client *http.Client
	log    *slog.Logger
	// hello says what the relay is, given the address of this machine that the
	// coordinator is reached from.
	hello func(local netip.Addr) *relayv1.Hello
	load  func() *relayv1.Load
	// joined is called with each welcome.
	joined func(*relayv1.Welcome)
	// siblings is called with each list of the region's relays.
	siblings func(*relayv1.Siblings)

	// api asks the coordinator while there is a session.
	api atomic.Pointer[relayv1.RelayClient]
}

// keep keeps a session until ctx is done, which it says goodbye for, or the
// coordinator wants no more of the relay.
func (m *membership) keep(ctx context.Context) error {
	pause := rejoinMin
	for {
		welcomed, err := m.session(ctx)
		m.api.Store(nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrRevoked), errors.Is(err, ErrInUse), errors.Is(err, ErrRefused):
			return err
		case errors.Is(err, rpc.ErrUnauthorized):
			return fmt.Errorf("%w: %w", ErrRevoked, err)
		}
		if welcomed {
			pause = rejoinMin
		}
		m.log.Info("session with the coordinator ended; nodes that are known are served on", "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, rejoinMax)
	}
}

// session is one session, from dial to its end; welcomed tells whether it was one
// at all.
func (m *membership) session(ctx context.Context) (welcomed bool, err error) {
	// The goodbye goes out after ctx is done.
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	dial, done := context.WithTimeout(ctx, dialTimeout)
	cc, err := rpc.Dial(dial, rpc.DialConfig{
		URL: m.url, Path: joinPath, Token: m.token, HTTPClient: m.client, Ping: joinPing, Timeout: joinTimeout,
	})
	done()
	if err != nil {
		return false, err
	}
	defer cc.Close()
	client := relayv1.NewRelayClient(cc)
	stream, err := client.Connect(sctx)
	if err != nil {
		return false, fmt.Errorf("derp: open session: %w", err)
	}
	// An error of Send is told better by Recv.
	_ = stream.Send(&relayv1.Up{Msg: &relayv1.Up_Hello{Hello: m.hello(cc.LocalAddr())}})
	downs := make(chan *relayv1.Down)
	failed := make(chan error, 1)
	go func() { // ends with the stream, which ends with this function
		for {
			down, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case downs <- down:
			case <-sctx.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	leaving := ctx.Done()
	for {
		select {
		case <-leaving:
			leaving = nil
			_ = stream.Send(&relayv1.Up{Msg: &relayv1.Up_Bye{Bye: &relayv1.Bye{}}})
			// The coordinator ends the stream when it has read that; who waits for
			// one that is gone is cut off by the pings.
			_ = stream.CloseSend()
		case <-tick.C:
			_ = stream.Send(&relayv1.Up{Msg: &relayv1.Up_Load{Load: m.load()}})
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				err = errors.New("the coordinator ended it")
			}
			return welcomed, err
		case down := <-downs:
			if e := down.GetError(); e != nil {
				return welcomed, sessionError(e)
			}
			if s := down.GetSiblings(); s != nil {
				m.siblings(s)
			}
			if w := down.GetWelcome(); w != nil {
				welcomed = true
				m.api.Store(&client)
				m.joined(w)
			}
		}
	}
}

func sessionError(e *relayv1.Error) error {
	switch e.GetCode() {
	case relayv1.Error_REVOKED:
		return fmt.Errorf("%w: %s", ErrRevoked, e.GetMessage())
	case relayv1.Error_IN_USE:
		return fmt.Errorf("%w: %s", ErrInUse, e.GetMessage())
	case relayv1.Error_BAD_MESSAGE, relayv1.Error_BAD_VERSION:
		return fmt.Errorf("%w: %s", ErrRefused, e.GetMessage())
	}
	return errors.New(e.GetMessage())
}

// ask asks the coordinator whether a node may come in.
func (m *membership) ask(ctx context.Context, key [32]byte) (bool, error) {
	client := m.api.Load()
	if client == nil {
		return false, errors.New("no session with the coordinator")
	}
	answer, err := (*client).Admit(ctx, &relayv1.AdmitRequest{PublicKey: key[:]})
	return answer.GetAdmitted(), err
}

package relays

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/certpin"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	relayv1 "github.com/aditmesh/adit/pkg/proto/relayv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

const (
	// protocolVersion is the protocol spoken here.
	protocolVersion = 1

	// helloTimeout is how long a stream may take to say who it is.
	helloTimeout = 10 * time.Second

	// Limits on what a relay may say of itself.
	maxURL       = 256
	maxVersion   = 64
	maxSTUNPorts = 8
	maxSecret    = 128
)

// errNotRelay is a stream that somebody else's token opened.
var errNotRelay = errors.New("relays: stream without a relay's identity")

func identity(ctx context.Context) (uuid.UUID, error) {
	v, _ := rpc.Identity(ctx)
	who, ok := v.(auth.Identity)
	if !ok || who.Kind != auth.Relay {
		return uuid.Nil, errNotRelay
	}
	return who.RelayID, nil
}

// Connect serves one session of a relay.
func (r *Registry) Connect(stream relayv1.Relay_ConnectServer) error {
	ctx := stream.Context()
	id, err := identity(ctx)
	if err != nil {
		return err
	}
	ups := make(chan *relayv1.Up)
	go func() { // ends with the stream, which ends when Connect returns
		defer close(ups)
		for {
			up, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case ups <- up:
			case <-ctx.Done():
				return
			}
		}
	}()
	var hello *relayv1.Hello
	select {
	case up, ok := <-ups:
		if !ok {
			return nil
		}
		hello = up.GetHello()
	case <-time.After(helloTimeout):
	}
	addr, refusal := address(hello)
	if refusal != nil {
		return refuse(stream, refusal)
	}
	sess := &session{end: make(chan *relayv1.Error, 1), news: make(chan struct{}, 1)}
	m, refusal := r.enter(ctx, id, addr, hello, sess)
	if refusal != nil {
		return refuse(stream, refusal)
	}
	r.log.Info("relay joined", "relay", m.Name, "region", m.Region.Code, "url", m.URL, "from", rpc.RemoteAddr(ctx))
	bye, err := r.serve(stream, m, sess, ups)
	r.log.Info("relay left", "relay", m.Name, "region", m.Region.Code, "bye", bye, "err", err)
	r.exit(ctx, m, bye)
	return err
}

func refuse(stream relayv1.Relay_ConnectServer, e *relayv1.Error) error {
	return stream.Send(&relayv1.Down{Msg: &relayv1.Down_Error{Error: e}})
}

// serve carries messages both ways until the session ends, one way or another.
func (r *Registry) serve(stream relayv1.Relay_ConnectServer, m *member, sess *session, ups <-chan *relayv1.Up) (bye bool, err error) {
	welcome := &relayv1.Welcome{Name: m.Name, Region: m.Region.Code}
	if err := stream.Send(&relayv1.Down{Msg: &relayv1.Down_Welcome{Welcome: welcome}}); err != nil {
		return false, err
	}
	told := r.siblings(m)
	if err := stream.Send(&relayv1.Down{Msg: &relayv1.Down_Siblings{Siblings: told}}); err != nil {
		return false, err
	}
	for {
		select {
		case why := <-sess.end:
			return false, refuse(stream, why)
		case <-sess.news:
			if now := r.siblings(m); !proto.Equal(now, told) {
				if err := stream.Send(&relayv1.Down{Msg: &relayv1.Down_Siblings{Siblings: now}}); err != nil {
					return false, err
				}
				told = now
			}
		case up, ok := <-ups:
			if !ok {
				return false, nil
			}
			switch up := up.GetMsg().(type) {
			case *relayv1.Up_Load:
				r.mu.Lock()
				m.load = up.Load
				r.mu.Unlock()
			case *relayv1.Up_Bye:
				return true, nil
			case *relayv1.Up_Hello:
				return false, refuse(stream, badHello("hello came twice"))
			}
		}
	}
}

// enter brings a relay into the map, or says why not.
func (r *Registry) enter(ctx context.Context, id uuid.UUID, addr store.RelayAddress, hello *relayv1.Hello, sess *session) (*member, *relayv1.Error) {
	relay, err := r.cfg.Store.LiveRelay(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, deleted()
	case err != nil:
		r.log.Warn("a relay could not join", "relay", id, "err", err)
		return nil, away("the database is away; try again")
	}
	relay.RelayAddress = addr
	m := &member{Relay: relay, session: sess, turnSecret: hello.GetTurnSecret()}
	if u := hello.GetUdp(); u != nil {
		m.udp = &meshv1.UDPRelay{Port: u.GetPort(), Key: u.GetKey(), DiscoKey: u.GetDiscoKey()}
	}
	if refusal := r.place(m); refusal != nil {
		r.log.Warn("a relay was refused", "relay", relay.Name, "url", addr.URL, "from", rpc.RemoteAddr(ctx), "why", refusal.GetMessage())
		return nil, refusal
	}
	if err := r.cfg.Store.ConnectRelay(ctx, id, addr); err != nil {
		r.log.Debug("a relay that is here is not known after a restart", "relay", relay.Name, "err", err)
	}
	return m, nil
}

// place puts a member into the map, in place of an earlier session of the same
// relay.
func (r *Registry) place(m *member) *relayv1.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.revoked[m.ID]: // after it was looked up
		return deleted()
	case r.drained:
		return away("the coordinator restarts; try again")
	}
	if old := r.members[m.ID]; old != nil && old.session != nil {
		if !bytes.Equal(old.PublicKey, m.PublicKey) {
			return &relayv1.Error{Code: relayv1.Error_IN_USE, Message: "another relay is here with this token; give each a token of its own with 'adit relays create', and delete this one if you do not know the other"}
		}
		old.session.end <- &relayv1.Error{Code: relayv1.Error_REPLACED, Message: "the relay has a newer session"}
	}
	r.members[m.ID] = m
	r.publishLocked()
	return nil
}

// exit ends a session. The relay stays in the map for a while, unless it said bye.
func (r *Registry) exit(ctx context.Context, m *member, bye bool) {
	r.mu.Lock()
	current := r.members[m.ID] == m
	if current && bye {
		delete(r.members, m.ID)
		r.publishLocked()
	} else if current {
		m.session, m.until = nil, time.Now().Add(grace)
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	if current && bye {
		r.noteGone(context.WithoutCancel(ctx), m.ID)
	}
}

func (r *Registry) noteGone(ctx context.Context, id uuid.UUID) {
	if err := r.cfg.Store.DisconnectRelay(ctx, id); err != nil {
		r.log.Debug("a relay that is gone counts as here until the next restart", "relay", id, "err", err)
	}
}

// address returns what a relay says of itself, or what is wrong with it.
func address(h *relayv1.Hello) (store.RelayAddress, *relayv1.Error) {
	none := store.RelayAddress{}
	u, err := url.Parse(h.GetUrl())
	switch {
	case h == nil:
		return none, badHello("the first message must be hello, and come at once")
	case h.GetProtocol() != protocolVersion:
		return none, &relayv1.Error{
			Code: relayv1.Error_BAD_VERSION, Message: fmt.Sprintf("protocol %d is not spoken here, %d is; run the coordinator's version of adit", h.GetProtocol(), protocolVersion),
		}
	case len(h.GetUrl()) > maxURL || err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return none, badHello(fmt.Sprintf("its address %.80q is not https://HOST[:PORT]", h.GetUrl()))
	case len(h.GetVersion()) > maxVersion || strings.ContainsFunc(h.GetVersion(), unicode.IsControl):
		return none, badHello("its version is no version")
	case len(h.GetStunPorts()) > maxSTUNPorts:
		return none, badHello(fmt.Sprintf("it has %d STUN ports, and may have %d", len(h.GetStunPorts()), maxSTUNPorts))
	case len(h.GetTurnSecret()) > maxSecret:
		return none, badHello("its secret is too long")
	case h.GetUdp() != nil && (h.GetUdp().GetPort() == 0 || h.GetUdp().GetPort() > 65535 || len(h.GetUdp().GetKey()) != 32 || len(h.GetUdp().GetDiscoKey()) != 32):
		return none, badHello("its UDP relay has no port, or a key of the wrong length")
	case len(h.GetPublicKey()) != 32:
		return none, badHello("its key has the wrong length")
	}
	if pin := h.GetCertName(); pin != "" {
		if _, err := certpin.Parse(pin); err != nil {
			return none, badHello("its " + err.Error())
		}
	}
	a := store.RelayAddress{
		Version: h.GetVersion(), URL: u.Scheme + "://" + u.Host, CertName: h.GetCertName(), PublicKey: h.GetPublicKey(),
	}
	for _, p := range h.GetStunPorts() {
		if p == 0 || p > 65535 {
			return none, badHello(fmt.Sprintf("%d is no UDP port", p))
		}
		a.STUNPorts = append(a.STUNPorts, uint16(p))
	}
	return a, nil
}

func badHello(why string) *relayv1.Error {
	return &relayv1.Error{Code: relayv1.Error_BAD_MESSAGE, Message: "the relay cannot join: " + why}
}

// Admit tells a relay that is here whether to let a node in.
func (r *Registry) Admit(ctx context.Context, in *relayv1.AdmitRequest) (*relayv1.AdmitResponse, error) {
	id, err := identity(ctx)
	if err != nil {
		return nil, err
	}
	if !r.Presence(id).Here {
		return nil, status.Error(codes.PermissionDenied, "the relay has no session")
	}
	if len(in.GetPublicKey()) != 32 {
		return nil, status.Error(codes.InvalidArgument, "a node's key has 32 bytes")
	}
	ok, err := r.cfg.Vouch(ctx, [32]byte(in.GetPublicKey()))
	if err != nil {
		r.log.Warn("cannot tell a relay whether to admit a node", "relay", id, "err", err)
		return nil, status.Error(codes.Unavailable, "the database is away; try again")
	}
	return &relayv1.AdmitResponse{Admitted: ok}, nil
}

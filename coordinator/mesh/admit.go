package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/meshaddr"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
	"github.com/aditmesh/adit/pkg/rpc"
)

func identity(ctx context.Context) (auth.Identity, bool) {
	v, ok := rpc.Identity(ctx)
	if !ok {
		return auth.Identity{}, false
	}
	who, ok := v.(auth.Identity)
	return who, ok
}

// admit waits for hello and joins the node in the store. It returns the member
// and its resume token, or what to refuse the stream with, or neither.
func (h *Hub) admit(ctx context.Context, who auth.Identity, s *session, stream meshv1.Mesh_ConnectServer) (*member, string, *meshv1.Down) {
	timer := time.AfterFunc(helloTimeout, func() {
		s.outbox.put(errorDown(meshv1.Error_BAD_MESSAGE, "", fmt.Sprintf("no hello within %v", helloTimeout)), true)
	})
	up, err := stream.Recv()
	if !timer.Stop() || err != nil {
		return nil, "", nil
	}
	hello := up.GetHello()
	protocol, spoken := negotiate(hello.GetOldestProtocol(), hello.GetProtocol(), oldestProtocol, protocolVersion)
	switch {
	case hello == nil:
		return nil, "", errorDown(meshv1.Error_BAD_MESSAGE, "", "the first message must be hello")
	case !spoken:
		return nil, "", errorDown(meshv1.Error_BAD_VERSION, "", fmt.Sprintf(
			"protocol version %d is not spoken here, but %d to %d; use an adit of the coordinator's version", hello.GetProtocol(), oldestProtocol, protocolVersion))
	case len(hello.GetPublicKey()) != 32 || len(hello.GetDiscoKey()) != 32:
		return nil, "", errorDown(meshv1.Error_BAD_MESSAGE, "", "keys must be 32 bytes long")
	case [32]byte(hello.GetPublicKey()) == [32]byte{}, [32]byte(hello.GetDiscoKey()) == [32]byte{}:
		return nil, "", errorDown(meshv1.Error_BAD_MESSAGE, "", "a key of zeros is none")
	case len(hello.GetVersion()) > 128 || len(hello.GetResumeToken()) > 256:
		return nil, "", errorDown(meshv1.Error_BAD_MESSAGE, "", "hello is too long")
	case strings.ContainsFunc(hello.GetVersion(), unicode.IsControl): // Postgres keeps no NUL, terminals no escapes
		return nil, "", errorDown(meshv1.Error_BAD_MESSAGE, "", "version has control characters")
	}
	m := &member{key: [32]byte(hello.GetPublicKey()), disco: [32]byte(hello.GetDiscoKey()), protocol: protocol}
	var resume string
	// The way into the store is deep. A goroutine of its own gives its stack back;
	// the stream's would keep it for as long as the node is here.
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		if resume, err = h.joinStore(ctx, who, hello, m); err == nil {
			err = h.lookUp(ctx, who, s)
		}
	}()
	<-joined
	switch {
	case err == nil:
		return m, resume, nil
	case errors.Is(err, store.ErrKeyInUse):
		return nil, "", errorDown(meshv1.Error_KEY_IN_USE, "", "this public key belongs to another node; restart to make a new one")
	case errors.Is(err, store.ErrNotFound) && (who.Kind == auth.Agent || who.Kind == auth.Client):
		return nil, "", errorDown(meshv1.Error_REVOKED, "", workspaceDeleted)
	case errors.Is(err, store.ErrNotFound):
		return nil, "", errorDown(meshv1.Error_REVOKED, "", tokenRevoked)
	case ctx.Err() != nil:
		return nil, "", nil // it went away while it waited
	default:
		h.log.WarnContext(ctx, "a node could not join", "err", err)
		return nil, "", errorDown(meshv1.Error_UNAVAILABLE, "", "the database is away; try again")
	}
}

// negotiate returns the newest protocol version that both ends speak. One that names no
// oldest speaks its newest alone.
func negotiate(theirOldest, theirs, ourOldest, ours uint32) (version uint32, ok bool) {
	if theirOldest == 0 {
		theirOldest = theirs
	}
	version = min(theirs, ours)
	return version, version >= max(theirOldest, ourOldest)
}

// joinStore fills in m with what the store has to say. That the identity was
// good when its connection was opened says little about now.
func (h *Hub) joinStore(ctx context.Context, who auth.Identity, hello *meshv1.Hello, m *member) (resume string, err error) {
	select {
	case h.joining <- struct{}{}:
		defer func() { <-h.joining }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	var n store.Node
	switch {
	case who.Kind == auth.Proxy: // nothing of it outlives this process
		n, m.name = store.Node{ID: h.proxy, Address: meshaddr.FromID(h.proxy)}, proxyName
	case who.Kind == auth.Agent && hello.GetClient(), who.Kind == auth.Client:
		if who.Kind == auth.Client {
			if _, err := h.cfg.Store.LiveClientToken(ctx, who.TokenID); err != nil {
				return "", err
			}
		}
		a, err := h.cfg.Store.LiveAgent(ctx, who.AgentID)
		if err != nil {
			return "", err
		}
		m.workspace, m.by, m.name = a.WorkspaceID, a.ID, agentName(a.AgentName, a.WorkspaceName, a.OwnerName)
		n, resume, err = h.cfg.Store.JoinClient(ctx, a.OwnerID, hello.GetResumeToken(), m.key, m.disco)
		if err != nil {
			return "", err
		}
	case who.Kind == auth.Agent:
		a, err := h.cfg.Store.JoinAgent(ctx, who.AgentID, m.key, m.disco, hello.GetVersion())
		if err != nil {
			return "", err
		}
		n, m.workspace = a.Node, a.WorkspaceID
		m.name = agentName(a.AgentName, a.WorkspaceName, a.OwnerName)
	default:
		if _, err := h.cfg.Store.LiveToken(ctx, who.TokenID); err != nil {
			return "", err
		}
		u, err := h.cfg.Store.UserByID(ctx, who.UserID)
		if err != nil {
			return "", err
		}
		m.name, m.token = u.Username, who.TokenID
		n, resume, err = h.cfg.Store.JoinClient(ctx, who.UserID, hello.GetResumeToken(), m.key, m.disco)
		if err != nil {
			return "", err
		}
	}
	m.id, m.user, m.agent, m.addr = n.ID, n.UserID, n.Agent, n.Address
	return resume, nil
}

func agentName(agent, workspace, owner string) string { return agent + "." + workspace + "." + owner }

// Package auth says who a request is from, and what they may do: people by
// password, by a provider's word and by API token, agents by the token of their
// workspace, programs there by one that the agent hands out, provisioners by their key,
// relays by their token. What people may do is one table: see [Allowed].
//
// Whatever is wrong with a credential, the answer is the one error
// ErrUnauthenticated. Any other error means that the database could not tell;
// the caller should answer that it is unavailable, so that nodes try again.
package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
)

// ErrUnauthenticated is a credential that is not good.
var ErrUnauthenticated = errors.New("not signed in, or the token is wrong, expired or revoked")

// Kind says what an identity is.
type Kind uint8

const (
	// User is a person, by an API token.
	User Kind = iota + 1
	// Agent is a workspace's agent.
	Agent
	// Provisioner runs jobs.
	Provisioner
	// Relay carries packets.
	Relay
	// Proxy is the coordinator's own node on the mesh.
	Proxy
	// Client is a program in a workspace, by a token for some minutes that the agent
	// there hands out. It may go where links of the policy lead, and nothing else.
	Client
)

// ClientLifetime is how long the token of a program in a workspace lasts: it is asked for
// anew whenever it is used, so this is for whoever has taken it elsewhere.
const ClientLifetime = 5 * time.Minute

// Mark tells a token from those that its bearer had before. It is no secret, and
// small: there are as many as there are agents.
type Mark [8]byte

// MarkOf returns the mark of the token that has a hash.
func MarkOf(hash []byte) (m Mark) {
	copy(m[:], hash)
	return m
}

// Identity is who a request is from.
type Identity struct {
	Kind Kind
	// UserID is the person, or the owner of the agent's workspace.
	UserID uuid.UUID
	// AgentID is set for agents and for clients, and AgentToken tells which of an agent's
	// tokens it came with, or asked for the client's with: see [MarkOf].
	AgentID    uuid.UUID
	AgentToken Mark
	// Expires is when the token of a client ends.
	Expires time.Time
	// TokenID is the API token's, set for people, or a client's, and Username what people
	// are called.
	TokenID  uuid.UUID
	Username string
	// Role is what a person is in the deployment, Organizations what they are in
	// each that they belong to, and Scopes what their token narrows that to.
	Role          store.Role
	Organizations map[uuid.UUID]store.Role
	Scopes        Scopes
	// RelayID is set for relays.
	RelayID uuid.UUID
	// KeyID is the provisioner key's, zero for provisioners built in, KeyName what
	// it is called, and Tags are what it gives to its provisioners.
	KeyID   uuid.UUID
	KeyName string
	Tags    map[string]string
}

// actorKinds are what those with a token are called where changes are noted.
var actorKinds = map[Kind]store.ActorKind{
	User: store.ActorUser, Agent: store.ActorAgent, Provisioner: store.ActorProvisioner, Relay: store.ActorRelay,
	Proxy: store.ActorSystem, Client: store.ActorAgent,
}

// Actor is who acts with a token, for the audit log. Where from is the caller's
// to add.
func (i Identity) Actor() store.Actor {
	a := store.Actor{Kind: actorKinds[i.Kind], UserID: i.UserID, AgentID: i.AgentID, TokenID: i.TokenID, Name: i.KeyName}
	switch i.Kind {
	case Provisioner:
		a.TokenID = i.KeyID
	case Client: // gone before anybody reads of it
		a.TokenID = uuid.Nil
	}
	return a
}

// Prefixes of tokens; they tell people, and scanners for leaked secrets, what
// they have found.
const (
	userPrefix        = "adit_"
	agentPrefix       = agenttoken.Prefix
	provisionerPrefix = "adit_provisioner_"
	relayPrefix       = "adit_relay_"
	proxyPrefix       = "adit_proxy_"
	clientPrefix      = "adit_client_"
)

// Store is what authentication reads and writes.
type Store interface {
	LiveToken(ctx context.Context, id uuid.UUID) (store.LiveToken, error)
	TouchToken(ctx context.Context, id uuid.UUID) error
	CreateToken(ctx context.Context, n store.NewToken) (store.Token, error)
	LiveAgent(ctx context.Context, id uuid.UUID) (store.MeshAgent, error)
	CreateClientToken(ctx context.Context, agentID uuid.UUID, secretHash []byte, lifetime time.Duration) (uuid.UUID, error)
	LiveClientToken(ctx context.Context, id uuid.UUID) (store.ClientToken, error)
	LiveProvisionerKey(ctx context.Context, id uuid.UUID) (store.ProvisionerKey, error)
	LiveRelay(ctx context.Context, id uuid.UUID) (store.Relay, error)
	UserByName(ctx context.Context, name string) (store.User, error)
	CountLogin(ctx context.Context, name string) error
	ForgetLogins(ctx context.Context, name string) error

	HasUsers(ctx context.Context) (bool, error)
	UserByEmail(ctx context.Context, email string) (store.User, error)
	UserByIdentity(ctx context.Context, issuer, subject string) (store.User, error)
	AddIdentity(ctx context.Context, userID uuid.UUID, issuer, subject string) error
	CreateUserOfIdentity(ctx context.Context, u store.NewUser, issuer, subject string) (store.User, error)
	ChangeUser(ctx context.Context, id uuid.UUID, change func(*store.User) error) (store.User, error)
	SetManagedGroups(ctx context.Context, userID uuid.UUID, provider string, names []string) error
}

// Authenticator checks credentials.
type Authenticator struct {
	store     Store
	passwords *hasher
	// builtIn is the secret of the provisioners of this process, and proxy that of its
	// node on the mesh. They are nowhere else, and die with it.
	builtIn, proxy string
}

// New returns an authenticator on a store.
func New(s Store) *Authenticator {
	builtIn, _ := secret.New()
	proxy, _ := secret.New()
	return &Authenticator{store: s, passwords: newHasher(), builtIn: builtIn, proxy: proxy}
}

// Authenticate returns who a bearer token belongs to.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Identity, error) {
	if rest, ok := strings.CutPrefix(token, agentPrefix); ok {
		return a.agent(ctx, rest)
	}
	if rest, ok := strings.CutPrefix(token, provisionerPrefix); ok {
		return a.provisioner(ctx, rest)
	}
	if rest, ok := strings.CutPrefix(token, relayPrefix); ok {
		return a.relay(ctx, rest)
	}
	if text, ok := strings.CutPrefix(token, proxyPrefix); ok {
		return Identity{Kind: Proxy}, judge(nil, text, secret.Hash(a.proxy))
	}
	if rest, ok := strings.CutPrefix(token, clientPrefix); ok {
		return a.client(ctx, rest)
	}
	if rest, ok := strings.CutPrefix(token, userPrefix); ok {
		return a.user(ctx, rest)
	}
	return Identity{}, ErrUnauthenticated
}

func (a *Authenticator) user(ctx context.Context, rest string) (Identity, error) {
	id, text, err := split(rest)
	if err != nil {
		return Identity{}, err
	}
	t, err := a.store.LiveToken(ctx, id)
	if err := judge(err, text, t.SecretHash); err != nil {
		return Identity{}, err
	}
	if t.LastUsedAt == nil || time.Since(*t.LastUsedAt) > time.Minute {
		if err := a.store.TouchToken(ctx, id); err != nil {
			return Identity{}, fmt.Errorf("auth: %w", err)
		}
	}
	return OfToken(t), nil
}

func (a *Authenticator) agent(ctx context.Context, rest string) (Identity, error) {
	id, text, err := split(rest)
	if err != nil {
		return Identity{}, err
	}
	agent, err := a.store.LiveAgent(ctx, id)
	if err := judge(err, text, agent.TokenHash); err != nil {
		return Identity{}, err
	}
	return Identity{Kind: Agent, UserID: agent.OwnerID, AgentID: agent.ID, AgentToken: MarkOf(agent.TokenHash)}, nil
}

func (a *Authenticator) client(ctx context.Context, rest string) (Identity, error) {
	id, text, err := split(rest)
	if err != nil {
		return Identity{}, err
	}
	t, err := a.store.LiveClientToken(ctx, id)
	if err := judge(err, text, t.SecretHash); err != nil {
		return Identity{}, err
	}
	return Identity{
		Kind: Client, UserID: t.OwnerID, AgentID: t.AgentID, AgentToken: MarkOf(t.AgentHash), TokenID: id, Expires: time.Now().Add(t.Left),
	}, nil
}

func (a *Authenticator) provisioner(ctx context.Context, rest string) (Identity, error) {
	id, text, err := split(rest)
	if err != nil {
		return Identity{}, err
	}
	k := store.ProvisionerKey{Name: "built in", SecretHash: secret.Hash(a.builtIn)}
	if id != uuid.Nil {
		k, err = a.store.LiveProvisionerKey(ctx, id)
	}
	if err := judge(err, text, k.SecretHash); err != nil {
		return Identity{}, err
	}
	return Identity{Kind: Provisioner, KeyID: k.ID, KeyName: k.Name, Tags: k.Tags}, nil
}

func (a *Authenticator) relay(ctx context.Context, rest string) (Identity, error) {
	id, text, err := split(rest)
	if err != nil {
		return Identity{}, err
	}
	r, err := a.store.LiveRelay(ctx, id)
	if err := judge(err, text, r.SecretHash); err != nil {
		return Identity{}, err
	}
	return Identity{Kind: Relay, RelayID: r.ID}, nil
}

// judge turns the outcome of a look-up and the secret given into an error.
func judge(err error, text string, hash []byte) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return ErrUnauthenticated
	case err != nil:
		return fmt.Errorf("auth: %w", err)
	case !secret.Match(text, hash):
		return ErrUnauthenticated
	}
	return nil
}

// split takes a token without its prefix apart: the id in 32 hex digits, an
// underscore, the secret.
func split(rest string) (uuid.UUID, string, error) {
	idText, text, ok := strings.Cut(rest, "_")
	if !ok || len(idText) != 32 {
		return uuid.Nil, "", ErrUnauthenticated
	}
	id, err := uuid.Parse(idText)
	if err != nil {
		return uuid.Nil, "", ErrUnauthenticated
	}
	return id, text, nil
}

func join(prefix string, id uuid.UUID, text string) string {
	return prefix + strings.ReplaceAll(id.String(), "-", "") + "_" + text
}

// AgentToken returns the token of an agent with this secret.
func AgentToken(id uuid.UUID, text string) string { return agenttoken.Format(id, text) }

// ProvisionerToken returns the token of a provisioner key with this secret.
func ProvisionerToken(id uuid.UUID, text string) string { return join(provisionerPrefix, id, text) }

// RelayToken returns the token of a relay with this secret.
func RelayToken(id uuid.UUID, text string) string { return join(relayPrefix, id, text) }

// BuiltInToken returns the token of the provisioners of this process.
func (a *Authenticator) BuiltInToken() string { return ProvisionerToken(uuid.Nil, a.builtIn) }

// ProxyToken returns the token of this process's own node on the mesh.
func (a *Authenticator) ProxyToken() string { return proxyPrefix + a.proxy }

// IssueToken makes an API token for a user and returns its text, which is
// known to nobody afterwards. A nil expiry is never.
func (a *Authenticator) IssueToken(ctx context.Context, userID uuid.UUID, name string, expires *time.Time) (string, store.Token, error) {
	return a.Issue(ctx, store.NewToken{UserID: userID, Name: name, ExpiresAt: expires})
}

// IssueClient makes a token for the programs of an agent's workspace, which lasts for
// ClientLifetime, and returns its text.
func (a *Authenticator) IssueClient(ctx context.Context, agentID uuid.UUID) (string, error) {
	text, hash := secret.New()
	id, err := a.store.CreateClientToken(ctx, agentID, hash, ClientLifetime)
	if err != nil {
		return "", fmt.Errorf("auth: %w", err)
	}
	return join(clientPrefix, id, text), nil
}

// Issue is IssueToken of any kind, with scopes.
func (a *Authenticator) Issue(ctx context.Context, n store.NewToken) (string, store.Token, error) {
	var text string
	text, n.SecretHash = secret.New()
	t, err := a.store.CreateToken(ctx, n)
	if err != nil {
		return "", store.Token{}, fmt.Errorf("auth: %w", err)
	}
	return join(userPrefix, t.ID, text), t, nil
}

package workspaces

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	cloud "github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// agentName is what an agent may be called: it is a label of a DNS name.
var agentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// tokenAuth is that an agent is given its token; auths are all ways to come by one.
const tokenAuth = "token"

var auths = []string{tokenAuth, string(cloud.AWS), string(cloud.Google), string(cloud.Azure)}

const (
	// maxConnectionTimeout is a day, in seconds.
	maxConnectionTimeout = 24 * 60 * 60

	// maxInstance bounds what a cloud may call an instance.
	maxInstance = 128
)

// instances returns where the agents of a build that is done run, by their ids.
func instances(workspace uuid.UUID, agents []*provisionerv1.Agent) map[uuid.UUID]string {
	on := make(map[uuid.UUID]string)
	for _, a := range agents {
		if id := a.GetInstanceId(); id != "" && len(id) <= maxInstance && agentName.MatchString(a.GetName()) {
			on[agenttoken.ID(workspace, a.GetName())] = noNUL(id)
		}
	}
	return on
}

// newAgents returns what the store has to know of a build's agents.
func newAgents(b store.BuildState, agents []*provisionerv1.Agent) ([]store.NewAgent, error) {
	list := make([]store.NewAgent, 0, len(agents))
	seen := make(map[string]bool)
	for _, a := range agents {
		name := a.GetName()
		if !agentName.MatchString(name) {
			return nil, badInput("agent name %.60q: use up to 32 lower-case letters, digits and dashes", name)
		}
		if seen[name] {
			return nil, badInput("two agents are called %s; names of agents are unique within a workspace", name)
		}
		seen[name] = true
		if !slices.Contains(auths, cmp.Or(a.GetAuth(), tokenAuth)) {
			return nil, badInput("agent %s: there is no auth %.60q; use one of %s", name, a.GetAuth(), strings.Join(auths, ", "))
		}
		if len(a.GetInstanceId()) > maxInstance {
			return nil, badInput("agent %s: an instance id of %d bytes", name, len(a.GetInstanceId()))
		}
		manifest, err := protojson.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("workspaces: manifest of agent %s: %w", name, err)
		}
		list = append(list, store.NewAgent{
			ID: agenttoken.ID(b.WorkspaceID, name), Name: name,
			TokenHash: secret.Hash(agenttoken.Secret(b.Secret, name)), Manifest: manifest,
			Auth: cmp.Or(a.GetAuth(), tokenAuth), Instance: a.GetInstanceId(),
			ConnectionTimeout: time.Duration(min(a.GetConnectionTimeoutSeconds(), maxConnectionTimeout)) * time.Second,
		})
	}
	return list, nil
}

// Manifest is what an agent is to do.
type Manifest struct {
	store.MeshAgent
	Agent *provisionerv1.Agent
}

// AgentManifest returns the manifest of an agent, by its id; one that says
// nothing for an agent of an external workspace.
func (s *Service) AgentManifest(ctx context.Context, agentID uuid.UUID) (Manifest, error) {
	a, err := s.store.LiveAgent(ctx, agentID)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{MeshAgent: a, Agent: &provisionerv1.Agent{Name: a.AgentName}}
	if a.Manifest == nil {
		return m, nil
	}
	if err := lenient.Unmarshal(a.Manifest, m.Agent); err != nil {
		return Manifest{}, fmt.Errorf("workspaces: manifest of agent %s: %w", agentID, err)
	}
	return m, nil
}

// SetScriptsState notes how an agent's start scripts are doing, and in JSON how
// each of its scripts is.
func (s *Service) SetScriptsState(ctx context.Context, agentID uuid.UUID, state store.ScriptsState, runs []byte) error {
	return s.store.SetScriptsState(ctx, agentID, state, runs)
}

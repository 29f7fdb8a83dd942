package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// AgentState says what the coordinator knows of an agent.
//
//	connecting ──▶ connected ──bye──▶ disconnected
//	    │            ▲  │ ▲────────────────┘
//	    │            │  └─silence──▶ timeout
//	    │            └──────────────────┘ ▲
//	    └──not in the time it is given────┘
type AgentState string

const (
	AgentConnecting   AgentState = "connecting"
	AgentConnected    AgentState = "connected"
	AgentDisconnected AgentState = "disconnected"
	AgentTimeout      AgentState = "timeout"
)

// ScriptsState says how the start scripts of an agent are doing.
type ScriptsState string

const (
	ScriptsNone      ScriptsState = "none"
	ScriptsRunning   ScriptsState = "running"
	ScriptsSucceeded ScriptsState = "succeeded"
	ScriptsFailed    ScriptsState = "failed"
	ScriptsTimeout   ScriptsState = "timeout"
)

// Workspace is a workspace with its agents.
type Workspace struct {
	ID, OwnerID     uuid.UUID
	OrganizationID  uuid.UUID
	OwnerName, Name string
	Organization    string // its name
	External        bool
	TemplateID      uuid.UUID // zero for external ones
	Phase           Phase
	// Version grows with every change.
	Version   int64
	CreatedAt time.Time
	// DailyCost is what its resources cost, in the units of quotas.
	DailyCost int
	// LastActiveAt is when somebody last used it; nil if nobody has yet. It may be
	// two minutes behind. What counts says the migration that made the column.
	LastActiveAt *time.Time
	Agents       []Agent
}

// Agent is the program that runs in a workspace.
type Agent struct {
	ID, WorkspaceID uuid.UUID
	Name            string
	TokenHash       []byte
	State           AgentState
	Version         string
	CreatedAt       time.Time
	// Manifest is a provisionerv1.Agent in protojson; nil for external
	// workspaces. ScriptsState is how its startup scripts are doing, and ScriptRuns
	// how each script is, in JSON as the API has it.
	Manifest     []byte
	ScriptsState ScriptsState
	ScriptRuns   []byte
	// HostKey is the public SSH key that it was told to have; empty if none.
	HostKey string
	// Nil where it has not happened, and DisconnectedAt while connected.
	FirstConnectedAt, LastConnectedAt, DisconnectedAt *time.Time
}

func agentFrom(a db.Agent) Agent {
	return Agent{
		ID: a.ID, WorkspaceID: a.WorkspaceID, Name: a.Name, TokenHash: a.TokenHash,
		State: AgentState(a.State), Version: a.Version, CreatedAt: a.CreatedAt,
		Manifest: a.Manifest, ScriptsState: ScriptsState(a.ScriptsState), ScriptRuns: a.ScriptRuns, HostKey: a.HostKey,
		FirstConnectedAt: a.FirstConnectedAt, LastConnectedAt: a.LastConnectedAt, DisconnectedAt: a.DisconnectedAt,
	}
}

// NewWorkspace is what a workspace starts from.
type NewWorkspace struct {
	OwnerID   uuid.UUID
	OwnerName string
	Name      string
	External  bool
	// OrganizationID is where it belongs, zero is the default one, and Organization
	// its name.
	OrganizationID uuid.UUID
	Organization   string
	// AgentName and AgentTokenHash make its one agent.
	AgentName      string
	AgentTokenHash []byte
}

// CreateWorkspace makes an external workspace with an agent; ErrConflict if the owner
// has one of that name.
func (s *Store) CreateWorkspace(ctx context.Context, n NewWorkspace) (Workspace, error) {
	var w db.Workspace
	var a db.Agent
	if n.OrganizationID == uuid.Nil {
		n.OrganizationID = DefaultOrganization
	}
	err := s.tx(ctx, func(ctx context.Context, q *db.Queries) (err error) {
		w, err = q.InsertWorkspace(ctx, db.InsertWorkspaceParams{
			OwnerID: n.OwnerID, Name: n.Name, External: n.External, Phase: string(PhaseRunning), OrganizationID: n.OrganizationID,
		})
		if err != nil {
			return err
		}
		a, err = q.InsertAgent(ctx, db.InsertAgentParams{WorkspaceID: w.ID, Name: n.AgentName, TokenHash: n.AgentTokenHash})
		return err
	})
	if err != nil {
		return Workspace{}, fmt.Errorf("store: create workspace %s: %w", n.Name, kind(err))
	}
	return Workspace{
		ID: w.ID, OwnerID: w.OwnerID, OrganizationID: w.OrganizationID, Organization: n.Organization, OwnerName: n.OwnerName, Name: w.Name, External: w.External,
		Phase: Phase(w.Phase), Version: w.Version, CreatedAt: w.CreatedAt, Agents: []Agent{agentFrom(a)},
	}, nil
}

// WorkspaceQuery says which workspaces a list has. Zero fields let all pass.
type WorkspaceQuery struct {
	// OwnerID is whose they are; zero is everybody's, or those of the user called
	// Owner.
	OwnerID uuid.UUID
	Owner   string
	// Name is a part of the workspace's name, and Template the name of its template,
	// with that of the organization before it or not.
	Name, Template string
	Phase          Phase
	External       *bool
	// AfterOwner and AfterName are the names of the last one that is known.
	AfterOwner, AfterName string
	// Max is how many there may be.
	Max int
}

// Workspaces lists workspaces by owner and name.
func (s *Store) Workspaces(ctx context.Context, w WorkspaceQuery) ([]Workspace, error) {
	afterOwner, afterName := strings.ToLower(w.AfterOwner), strings.ToLower(w.AfterName)
	list, err := one(ctx, "list workspaces", func(ctx context.Context) (list []Workspace, err error) {
		if w.OwnerID != uuid.Nil {
			rows, err := s.q.WorkspacesOfOwner(ctx, db.WorkspacesOfOwnerParams{
				OwnerID: w.OwnerID, AfterName: afterName, Name: w.Name, Phase: string(w.Phase), External: optional(w.External),
				Template: w.Template, Max: int32(w.Max),
			})
			for _, r := range rows {
				list = append(list, workspaceFrom(db.WorkspaceByNameRow(r)))
			}
			return list, err
		}
		rows, err := s.q.AllWorkspaces(ctx, db.AllWorkspacesParams{
			AfterOwner: afterOwner, AfterName: afterName, Owner: w.Owner, Name: w.Name, Phase: string(w.Phase), External: optional(w.External),
			Template: w.Template, Max: int32(w.Max),
		})
		for _, r := range rows {
			list = append(list, workspaceFrom(db.WorkspaceByNameRow(r)))
		}
		return list, err
	})
	if err != nil {
		return nil, err
	}
	return s.withAgents(ctx, list)
}

// WorkspaceByName finds a workspace by the names of its owner and itself.
func (s *Store) WorkspaceByName(ctx context.Context, owner, name string) (Workspace, error) {
	r, err := one(ctx, "workspace "+owner+"/"+name, func(ctx context.Context) (db.WorkspaceByNameRow, error) {
		return s.q.WorkspaceByName(ctx, db.WorkspaceByNameParams{OwnerName: owner, Name: name})
	})
	if err != nil {
		return Workspace{}, err
	}
	list, err := s.withAgents(ctx, []Workspace{workspaceFrom(r)})
	if err != nil {
		return Workspace{}, err
	}
	return list[0], nil
}

// WorkspaceByID finds a workspace.
func (s *Store) WorkspaceByID(ctx context.Context, id uuid.UUID) (Workspace, error) {
	r, err := one(ctx, "workspace "+id.String(), func(ctx context.Context) (db.WorkspaceByIDRow, error) {
		return s.q.WorkspaceByID(ctx, id)
	})
	if err != nil {
		return Workspace{}, err
	}
	list, err := s.withAgents(ctx, []Workspace{workspaceFrom(db.WorkspaceByNameRow(r))})
	if err != nil {
		return Workspace{}, err
	}
	return list[0], nil
}

// SetScriptsState notes how the start scripts of an agent are doing, and in JSON
// how each of its scripts is.
func (s *Store) SetScriptsState(ctx context.Context, agentID uuid.UUID, state ScriptsState, runs []byte) error {
	return affected(ctx, "scripts of agent "+agentID.String(), func(ctx context.Context) (int64, error) {
		return s.q.SetScriptsState(ctx, db.SetScriptsStateParams{ID: agentID, ScriptsState: string(state), ScriptRuns: runs})
	})
}

func workspaceFrom(r db.WorkspaceByNameRow) Workspace {
	return Workspace{
		ID: r.ID, OwnerID: r.OwnerID, OrganizationID: r.OrganizationID, Organization: r.OrganizationName, OwnerName: r.OwnerName, Name: r.Name,
		External: r.External, TemplateID: r.TemplateID.UUID, Phase: Phase(r.Phase), Version: r.Version, CreatedAt: r.CreatedAt,
		LastActiveAt: r.LastActiveAt, DailyCost: int(r.DailyCost),
	}
}

// withAgents fills in the agents of all workspaces with one query.
func (s *Store) withAgents(ctx context.Context, list []Workspace) ([]Workspace, error) {
	ids := make([]uuid.UUID, len(list))
	at := make(map[uuid.UUID]int, len(list))
	for i, w := range list {
		ids[i], at[w.ID] = w.ID, i
	}
	agents, err := one(ctx, "agents of workspaces", func(ctx context.Context) ([]db.Agent, error) {
		return s.q.AgentsOfWorkspaces(ctx, ids)
	})
	for _, a := range agents {
		w := &list[at[a.WorkspaceID]]
		w.Agents = append(w.Agents, agentFrom(a))
	}
	return list, err
}

// DeleteWorkspace marks a workspace deleted; its agents' tokens die with it.
func (s *Store) DeleteWorkspace(ctx context.Context, id uuid.UUID) error {
	return affected(ctx, "delete workspace "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.DeleteWorkspace(ctx, id)
	})
}

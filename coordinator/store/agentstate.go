package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// AgentReport is how things are in a workspace, as its agent last told.
type AgentReport struct {
	AgentID uuid.UUID `json:"-"`
	Ports   []AgentPort
	Apps    []AgentApp
	// Directory is where sessions begin.
	Directory string
	// PortSettings are what the workspace's repositories say of ports.
	PortSettings []PortSetting
}

// PortSetting is what is wanted of ports.
type PortSetting struct {
	First      int    `json:"first"`
	Last       int    `json:"last"`
	Label      string `json:"label,omitempty"`
	Protocol   string `json:"protocol,omitempty"`
	OnOpen     string `json:"on_open"`
	Visibility string `json:"visibility"`
}

// AgentPort is a port on which something listens.
type AgentPort struct {
	Network  string `json:"network"`
	Port     int    `json:"port"`
	Address  string `json:"address,omitempty"`
	Process  string `json:"process,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Protocol string `json:"protocol"`
}

// AgentApp is how an application is doing.
type AgentApp struct {
	Slug  string `json:"slug"`
	State string `json:"state"`
	Why   string `json:"why,omitempty"`
}

// RecordAgentReports keeps what any number of agents last told, in one statement.
func (s *Store) RecordAgentReports(ctx context.Context, batch []AgentReport) error {
	var p db.RecordAgentReportsParams
	for _, r := range batch {
		ports, err := json.Marshal(append([]AgentPort{}, r.Ports...))
		if err != nil {
			return fmt.Errorf("store: ports of agent %s: %w", r.AgentID, err)
		}
		apps, err := json.Marshal(append([]AgentApp{}, r.Apps...))
		if err != nil {
			return fmt.Errorf("store: apps of agent %s: %w", r.AgentID, err)
		}
		settings, err := json.Marshal(append([]PortSetting{}, r.PortSettings...))
		if err != nil {
			return fmt.Errorf("store: settings of ports of agent %s: %w", r.AgentID, err)
		}
		p.AgentIds, p.Ports, p.Apps = append(p.AgentIds, r.AgentID), append(p.Ports, string(ports)), append(p.Apps, string(apps))
		p.Directories, p.PortSettings = append(p.Directories, r.Directory), append(p.PortSettings, string(settings))
	}
	return do(ctx, fmt.Sprintf("record reports of %d agents", len(batch)), func(ctx context.Context) error {
		return s.q.RecordAgentReports(ctx, p)
	})
}

// AgentReports returns what agents last told, by agent. One that is not connected
// tells nothing.
func (s *Store) AgentReports(ctx context.Context, agentIDs []uuid.UUID) (map[uuid.UUID]AgentReport, error) {
	rows, err := one(ctx, "reports of agents", func(ctx context.Context) ([]db.AgentReport, error) {
		return s.q.AgentReports(ctx, agentIDs)
	})
	if err != nil {
		return nil, err
	}
	reports := make(map[uuid.UUID]AgentReport, len(rows))
	for _, r := range rows {
		out := AgentReport{AgentID: r.AgentID, Directory: r.Directory}
		if err := json.Unmarshal(r.Ports, &out.Ports); err != nil {
			return nil, fmt.Errorf("store: ports of agent %s: %w", r.AgentID, err)
		}
		if err := json.Unmarshal(r.Apps, &out.Apps); err != nil {
			return nil, fmt.Errorf("store: apps of agent %s: %w", r.AgentID, err)
		}
		if err := json.Unmarshal(r.PortSettings, &out.PortSettings); err != nil {
			return nil, fmt.Errorf("store: settings of ports of agent %s: %w", r.AgentID, err)
		}
		reports[r.AgentID] = out
	}
	return reports, nil
}

package sdk

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// AgentMetadata is something that a template has an agent measure again and
// again.
type AgentMetadata struct {
	Key         string `json:"key"`
	DisplayName string `json:"display_name,omitempty"`
	Value       string `json:"value"`
	Error       string `json:"error,omitempty" doc:"Why there is no value"`
	// At is nil until the agent has reported.
	At *time.Time `json:"at" doc:"When it was reported; null if it was not yet"`
}

// Resolutions of statistics: how long a time one of them is about.
const (
	StatsMinutes = "minute"
	StatsHours   = "hour"
	StatsDays    = "day"
)

// Stats is what an agent did and used in some time.
type Stats struct {
	Agent         string    `json:"agent" doc:"Its name; empty if it is gone"`
	At            time.Time `json:"at" doc:"When a minute was reported, or an hour or a day began, in UTC"`
	Seconds       float64   `json:"seconds" doc:"How long a time of it was reported"`
	ActiveSeconds float64   `json:"active_seconds" doc:"How much of that somebody used it"`
	Sessions      Sessions  `json:"sessions"`
	RxBytes       int64     `json:"rx_bytes" doc:"From people to the workspace"`
	TxBytes       int64     `json:"tx_bytes" doc:"From the workspace to people"`
	CPU           float64   `json:"cpu" doc:"Cores, on average"`
	CPUMax        float64   `json:"cpu_max"`
	CPULimit      float64   `json:"cpu_limit"`
	Memory        int64     `json:"memory_bytes" doc:"On average"`
	MemoryMax     int64     `json:"memory_max_bytes"`
	MemoryLimit   int64     `json:"memory_limit_bytes"`
	Disk          int64     `json:"disk_bytes"`
	DiskLimit     int64     `json:"disk_limit_bytes"`
	LatencyMs     *float64  `json:"latency_ms" doc:"Round trip to people's machines; null with nobody there"`
}

// Sessions are the most that were open at once.
type Sessions struct {
	SSH      int `json:"ssh"`
	SFTP     int `json:"sftp"`
	Forwards int `json:"forwards" doc:"Connections to ports, forwarded or over a VPN"`
}

// WorkspaceStats returns what a workspace's agents did and used since some time,
// the newest first; since may be zero, which is a few dozen of the resolution ago.
func (c *Client) WorkspaceStats(ctx context.Context, owner, name, resolution string, since time.Time) ([]Stats, error) {
	q := url.Values{"resolution": {resolution}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339))
	}
	var l List[Stats]
	err := c.do(ctx, http.MethodGet, &l, nil, "workspaces?"+q.Encode(), owner, name, "stats")
	return l.Items, err
}

package sdk

import (
	"context"
	"net/http"
	"time"
)

// Severities of findings, and the states of a deployment that has some.
const (
	HealthOK      = "ok"
	HealthWarning = "warning"
	HealthError   = "error"
)

// Health is how a deployment is doing.
type Health struct {
	Status    string    `json:"status" enum:"ok,warning,error" doc:"The worst severity of the findings"`
	CheckedAt time.Time `json:"checked_at"`
	Findings  []Finding `json:"findings" doc:"What is wrong, the worst first; empty if nothing is"`
}

// Finding is one thing that is wrong.
type Finding struct {
	Code     string `json:"code" doc:"What it is, for programs; it stays as it is" example:"database-slow"`
	Severity string `json:"severity" enum:"warning,error"`
	Evidence string `json:"evidence" doc:"What shows it"`
	Fix      string `json:"fix" doc:"The one thing that would change it"`
}

// Health says how the deployment is doing. For owners and auditors of the deployment.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.do(ctx, http.MethodGet, &h, nil, "health")
	return h, err
}

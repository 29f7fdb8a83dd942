package sdk

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
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

// Ready returns what the coordinator lacks to serve, in its own words; "" if it
// serves. Without a database it can tell nobody but everybody, and no more than this.
func (c *Client) Ready(ctx context.Context) (lacks string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.JoinPath("readyz").String(), nil)
	if err != nil {
		return "", fmt.Errorf("ready: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("no answer from the coordinator: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return "", nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return "", fmt.Errorf("answer from the coordinator: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

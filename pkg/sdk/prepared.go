package sdk

import (
	"context"
	"net/http"
	"time"
)

// ReasonClaimed is the reason of the build that makes a prepared workspace its
// claimer's.
const ReasonClaimed = "claimed"

// SetPrepared says how many workspaces of a template are kept ready.
type SetPrepared struct {
	Count      int               `json:"count" minimum:"0" maximum:"100" doc:"How many are kept ready for whoever makes a workspace"`
	Schedule   string            `json:"schedule,omitempty" maxLength:"100" doc:"DAYS HH:MM-HH:MM [ZONE]: none are at other times; empty is always" example:"mon-fri 07:00-19:00 Europe/Berlin"`
	Parameters map[string]string `json:"parameters,omitempty" doc:"Those that they are made with; the template's defaults unless set"`
}

// Prepared is how many workspaces of a template are kept ready, and how many are.
type Prepared struct {
	Count      int               `json:"count"`
	Schedule   string            `json:"schedule,omitempty"`
	Parameters map[string]string `json:"parameters"`
	Ready      int               `json:"ready" doc:"How many can be claimed now"`
	Coming     int               `json:"coming" doc:"How many are about to be ready"`
	Failures   int               `json:"failures" doc:"How often in a row one could not be made"`
	Problem    string            `json:"problem,omitempty" doc:"Why the last one could not"`
	RetryAt    *time.Time        `json:"retry_at" doc:"When it is tried again; null if none has failed"`
}

// Prepared returns how many workspaces of a template are kept ready. For those who
// may change the template.
func (c *Client) Prepared(ctx context.Context, template string) (p Prepared, err error) {
	err = c.do(ctx, http.MethodGet, &p, nil, owned("templates", template, "prepared")...)
	return p, err
}

// SetPrepared says how many workspaces of a template are kept ready, and forgets what
// has failed.
func (c *Client) SetPrepared(ctx context.Context, template string, s SetPrepared) (p Prepared, err error) {
	err = c.do(ctx, http.MethodPut, &p, s, owned("templates", template, "prepared")...)
	return p, err
}

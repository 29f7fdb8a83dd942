package sdk

import (
	"context"
	"net/http"
)

// Support is what somebody who helps needs to know of a coordinator, without
// secrets.
type Support struct {
	Files []SupportFile `json:"files"`
}

// SupportFile is one part of it.
type SupportFile struct {
	Name string `json:"name" example:"health.json"`
	Text string `json:"text"`
}

// Support gathers what somebody who helps needs to know. For owners and auditors of the
// deployment.
func (c *Client) Support(ctx context.Context) (s Support, err error) {
	err = c.do(ctx, http.MethodGet, &s, nil, "support")
	return s, err
}

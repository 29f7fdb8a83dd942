package sdk

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// Policy is the file that says who may reach what.
type Policy struct {
	Version   int64     `json:"version" doc:"Grows by one with each change; 0 while there is none, and nothing is taken away from anybody"`
	Text      string    `json:"text" doc:"YAML, or JSON"`
	CreatedBy string    `json:"created_by,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
}

// PolicyVersion is a policy that holds, or held.
type PolicyVersion struct {
	Version   int64     `json:"version"`
	CreatedBy string    `json:"created_by,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Size      int       `json:"size" doc:"Of its text, in bytes"`
}

// SetPolicy is what the policy is to be.
type SetPolicy struct {
	Text string `json:"text" minLength:"1" maxLength:"262144" doc:"YAML, or JSON" example:"rules:\n  - {from: [\"*\"], to: [me/*], ports: [\"*\"]}\n"`
}

// Policy returns the policy that holds.
func (c *Client) Policy(ctx context.Context) (p Policy, err error) {
	err = c.do(ctx, http.MethodGet, &p, nil, "policy")
	return p, err
}

// PolicyAt returns a version of the policy.
func (c *Client) PolicyAt(ctx context.Context, version int64) (p Policy, err error) {
	err = c.do(ctx, http.MethodGet, &p, nil, "policy", "versions", fmt.Sprint(version))
	return p, err
}

// EachPolicyVersion yields the versions of the policy, the newest first.
func (c *Client) EachPolicyVersion(ctx context.Context, o ListOptions) iter.Seq2[PolicyVersion, error] {
	return each[PolicyVersion](ctx, c, o, nil, "policy", "versions")
}

// PolicyVersions lists the versions of the policy, the newest first.
func (c *Client) PolicyVersions(ctx context.Context) ([]PolicyVersion, error) {
	return collect(c.EachPolicyVersion(ctx, ListOptions{}))
}

// SetPolicy replaces the policy. One that is malformed, or whose tests fail, is refused with
// an *Error whose Errors are what is wrong, each with its line; ErrChanged is that there is
// another already than the caller saw (see WithIfMatch).
func (c *Client) SetPolicy(ctx context.Context, text string) (p Policy, err error) {
	err = c.do(ctx, http.MethodPut, &p, SetPolicy{Text: text}, "policy")
	return p, err
}

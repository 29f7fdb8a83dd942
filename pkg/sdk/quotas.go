package sdk

import (
	"context"
	"net/http"
)

// Usage is what a user's workspaces cost together, by their templates.
type Usage struct {
	Used   int  `json:"used"`
	Budget *int `json:"budget" doc:"How much they may; null is no limit"`
}

// Quota is how much the workspaces of a user may cost together, or those of each
// member of a group in the group's organization.
type Quota struct {
	User         string `json:"user,omitempty"`
	Group        string `json:"group,omitempty"`
	Organization string `json:"organization,omitempty" doc:"Name of the group's"`
	Budget       int    `json:"budget"`
}

// SetQuota sets a quota.
type SetQuota struct {
	Budget int `json:"budget" minimum:"0" maximum:"1000000000"`
}

// Usage returns what one's own workspaces cost, and how much they may: all of them
// if one has a quota of one's own, else those in an organization, "" is the default
// one.
func (c *Client) Usage(ctx context.Context, organization string) (u Usage, err error) {
	err = c.do(ctx, http.MethodGet, &u, nil, "quota"+inOrganization(organization))
	return u, err
}

// Quotas lists all quotas.
func (c *Client) Quotas(ctx context.Context) ([]Quota, error) {
	return collect(each[Quota](ctx, c, ListOptions{}, nil, "quotas"))
}

// Quota returns the quota of whom q names.
func (c *Client) Quota(ctx context.Context, q Quota) (now Quota, err error) {
	err = c.do(ctx, http.MethodGet, &now, nil, quotaPath(q)...)
	return now, err
}

// SetQuota sets the quota of a user or, if no user is named, of each member of a
// group.
func (c *Client) SetQuota(ctx context.Context, q Quota) error {
	return c.do(ctx, http.MethodPut, nil, SetQuota{Budget: q.Budget}, quotaPath(q)...)
}

// DeleteQuota ends a quota.
func (c *Client) DeleteQuota(ctx context.Context, q Quota) error {
	return c.do(ctx, http.MethodDelete, nil, nil, quotaPath(q)...)
}

func quotaPath(q Quota) []string {
	if q.User != "" {
		return []string{"quotas", "users", q.User}
	}
	return []string{"quotas" + inOrganization(q.Organization), "groups", q.Group}
}

// SetFavourite puts a workspace among one's favourites, or takes it out.
func (c *Client) SetFavourite(ctx context.Context, owner, name string, is bool) error {
	method := http.MethodPut
	if !is {
		method = http.MethodDelete
	}
	return c.do(ctx, method, nil, nil, "workspaces", owner, name, "favourite")
}

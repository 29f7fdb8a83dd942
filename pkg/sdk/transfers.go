package sdk

import (
	"context"
	"net/http"
	"time"
)

// Offer is a workspace that somebody may make theirs, within a week.
type Offer struct {
	ID       string    `json:"id" doc:"The workspace's"`
	Owner    string    `json:"owner" doc:"User name of who has it"`
	Name     string    `json:"name"`
	External bool      `json:"external"`
	To       string    `json:"to" doc:"User name of whom it is offered to"`
	By       string    `json:"by" doc:"User name of who offered it"`
	Since    time.Time `json:"since"`
}

// OfferWorkspace offers a workspace.
type OfferWorkspace struct {
	To string `json:"to" minLength:"1" maxLength:"64" doc:"User name; me for oneself, by those who may transfer what is others'"`
}

// AcceptOffer makes an offered workspace one's own.
type AcceptOffer struct {
	Name string `json:"name,omitempty" maxLength:"32" pattern:"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$" doc:"What it is called from now on; its name if left out"`
}

// Offers lists the offers to one and by one.
func (c *Client) Offers(ctx context.Context) ([]Offer, error) {
	return collect(each[Offer](ctx, c, ListOptions{}, nil, "offers"))
}

// OfferWorkspace offers a workspace to a user, and to nobody else any more.
func (c *Client) OfferWorkspace(ctx context.Context, owner, name, to string) error {
	return c.do(ctx, http.MethodPut, nil, OfferWorkspace{To: to}, "workspaces", owner, name, "offer")
}

// CancelOffer takes an offer back.
func (c *Client) CancelOffer(ctx context.Context, owner, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "workspaces", owner, name, "offer")
}

// AcceptOffer makes an offered workspace one's own, under a name or its own. If it
// is external, its agent needs the token that is returned.
func (c *Client) AcceptOffer(ctx context.Context, id, name string) (w CreatedWorkspace, err error) {
	err = c.do(ctx, http.MethodPost, &w, AcceptOffer{Name: name}, "offers", id, "accept")
	return w, err
}

// DeclineOffer declines an offer to one.
func (c *Client) DeclineOffer(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "offers", id)
}

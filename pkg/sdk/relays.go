package sdk

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Relay is a relay: it carries the packets of nodes that have no direct path.
type Relay struct {
	ID     string      `json:"id,omitempty" doc:"Empty for the one inside the server"`
	Name   string      `json:"name"`
	Region RelayRegion `json:"region"`
	URL    string      `json:"url" doc:"Where nodes reach it; empty until it has joined, and for the one inside the server, which is where that is"`
	// Connected says that it is in the map that nodes get.
	Connected   bool       `json:"connected"`
	Version     string     `json:"version,omitempty"`
	CreatedAt   *time.Time `json:"created_at,omitempty"`
	ConnectedAt *time.Time `json:"connected_at,omitempty"`
	LastSeenAt  *time.Time `json:"last_seen_at,omitempty"`
	Load        *RelayLoad `json:"load,omitempty" doc:"What it said last"`
	Seen        *RelaySeen `json:"seen,omitempty" doc:"What nodes measured of its region"`
}

// RelaySeen is how nodes that are here see a region of relays.
type RelaySeen struct {
	Nodes int     `json:"nodes" doc:"That measured the round trip"`
	Home  int     `json:"home" doc:"Whose home it is"`
	RTTMs float64 `json:"rtt_ms" doc:"Median of what they measured"`
}

// RelayRegion is a region of relays. Nodes choose a region, by its latency.
type RelayRegion struct {
	ID   uint32 `json:"id"`
	Code string `json:"code"`
	Name string `json:"name"`
	// Latitude and Longitude are in degrees.
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
}

// RelayLoad is how much a relay has to do.
type RelayLoad struct {
	Clients int    `json:"clients"`
	Bytes   uint64 `json:"bytes" doc:"Received since it started"`
	Dropped uint64 `json:"dropped" doc:"Packets, since it started"`
}

// CreateRelay asks for a relay.
type CreateRelay struct {
	Name string `json:"name" minLength:"1" maxLength:"64" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a label of lower-case letters, digits and hyphens"`
	// Region is made if there is none.
	Region string `json:"region" minLength:"1" maxLength:"32" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"a label of lower-case letters, digits and hyphens" example:"eu"`
	// RegionName is what people call a new region; its code unless set.
	RegionName string `json:"region_name,omitempty" maxLength:"64"`
	// Latitude and Longitude of the region, in degrees; both or neither.
	Latitude  *float64 `json:"latitude,omitempty" minimum:"-90" maximum:"90"`
	Longitude *float64 `json:"longitude,omitempty" minimum:"-180" maximum:"180"`
}

// CreatedRelay is a new relay; its token is shown this once.
type CreatedRelay struct {
	Relay
	Token string `json:"token" doc:"What it joins with"`
}

// CreateRelay makes a relay, which is then to be run with its token.
func (c *Client) CreateRelay(ctx context.Context, req CreateRelay) (r CreatedRelay, err error) {
	err = c.do(ctx, http.MethodPost, &r, req, "relays")
	return r, err
}

// EachRelay yields the relays by name.
func (c *Client) EachRelay(ctx context.Context, o ListOptions) iter.Seq2[Relay, error] {
	return each[Relay](ctx, c, o, nil, "relays")
}

// Relays lists the relays by name.
func (c *Client) Relays(ctx context.Context) ([]Relay, error) {
	return collect(c.EachRelay(ctx, ListOptions{}))
}

// DeleteRelay revokes a relay's token, which ends it at once.
func (c *Client) DeleteRelay(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, nil, nil, "relays", name)
}

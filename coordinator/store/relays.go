package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// RelayRegion is a region of relays.
type RelayRegion struct {
	// ID is what nodes and the DERP protocol call it.
	ID         int
	Code, Name string
	// Latitude and Longitude are in degrees; nil is not said.
	Latitude, Longitude *float64
	// MeshKey is what its relays know each other by; 64 hex digits.
	MeshKey string
}

// Relay is a relay that is not revoked. Its secret is kept as a hash only.
type Relay struct {
	ID         uuid.UUID
	Name       string
	Region     RelayRegion
	SecretHash []byte
	CreatedAt  time.Time
	RelayAddress
	// Connected says that it has a session, or had one when the coordinator ended.
	Connected               bool
	ConnectedAt, LastSeenAt *time.Time
}

// RelayAddress is what a relay says of itself when it joins.
type RelayAddress struct {
	Version string
	// URL is where nodes reach it; STUNPorts, on the same host, answer STUN.
	URL       string
	STUNPorts []uint16
	// CertName pins its certificate; empty for one that nodes trust anyway.
	CertName string
	// PublicKey is its own.
	PublicKey []byte
}

// NewRelay is a relay to be made.
type NewRelay struct {
	Name       string
	Region     RelayRegion // without its id; made if there is none of the code
	SecretHash []byte
	Creator    uuid.UUID
}

func relayFrom(r db.Relay, g db.RelayRegion) Relay {
	out := Relay{
		ID: r.ID, Name: r.Name, SecretHash: r.SecretHash, CreatedAt: r.CreatedAt,
		Region:       RelayRegion{ID: int(g.ID), Code: g.Code, Name: g.Name, MeshKey: g.MeshKey},
		RelayAddress: RelayAddress{Version: r.Version, URL: r.Url, CertName: r.CertName, PublicKey: r.PublicKey},
		Connected:    r.Connected, ConnectedAt: r.ConnectedAt, LastSeenAt: r.LastSeenAt,
	}
	for _, p := range r.StunPorts {
		out.STUNPorts = append(out.STUNPorts, uint16(p))
	}
	if g.Latitude.Valid && g.Longitude.Valid {
		out.Region.Latitude, out.Region.Longitude = &g.Latitude.Float64, &g.Longitude.Float64
	}
	return out
}

// CreateRelay makes a relay; ErrConflict if the name is taken.
func (s *Store) CreateRelay(ctx context.Context, n NewRelay) (Relay, error) {
	row, err := oneTx(ctx, s, "create relay "+n.Name, func(ctx context.Context, q *db.Queries) (row db.LiveRelayRow, err error) {
		// Of two that make the same region, one makes it.
		if err := q.LockRelayRegions(ctx); err != nil {
			return row, err
		}
		if err := q.InsertRelayRegion(ctx, db.InsertRelayRegionParams{Code: n.Region.Code, Name: n.Region.Name}); err != nil {
			return row, err
		}
		if lat, long := n.Region.Latitude, n.Region.Longitude; lat != nil && long != nil {
			if err := q.PlaceRelayRegion(ctx, db.PlaceRelayRegionParams{Code: n.Region.Code, Latitude: pgtype.Float8{Float64: *lat, Valid: true}, Longitude: pgtype.Float8{Float64: *long, Valid: true}}); err != nil {
				return row, err
			}
		}
		id, err := q.InsertRelay(ctx, db.InsertRelayParams{
			Name: n.Name, Region: n.Region.Code, SecretHash: n.SecretHash, CreatedBy: nullable(n.Creator),
		})
		if err != nil {
			return row, err
		}
		return q.LiveRelay(ctx, id)
	})
	return relayFrom(row.Relay, row.RelayRegion), err
}

// LiveRelay finds a relay that is not revoked.
func (s *Store) LiveRelay(ctx context.Context, id uuid.UUID) (Relay, error) {
	row, err := one(ctx, "relay "+id.String(), func(ctx context.Context) (db.LiveRelayRow, error) { return s.q.LiveRelay(ctx, id) })
	return relayFrom(row.Relay, row.RelayRegion), err
}

// LiveRelays lists the relays that are not revoked, by region and name.
func (s *Store) LiveRelays(ctx context.Context) ([]Relay, error) {
	rows, err := one(ctx, "relays", s.q.LiveRelays)
	list := make([]Relay, 0, len(rows))
	for _, r := range rows {
		list = append(list, relayFrom(r.Relay, r.RelayRegion))
	}
	return list, err
}

// RevokedRelay is a relay that ended, and the key that the others of its region have
// from now on.
type RevokedRelay struct {
	ID      uuid.UUID
	Region  int
	MeshKey string
}

// RevokeRelay ends a relay, by name: it knows its region's key no more.
func (s *Store) RevokeRelay(ctx context.Context, name string) (RevokedRelay, error) {
	return oneTx(ctx, s, "revoke relay "+name, func(ctx context.Context, q *db.Queries) (RevokedRelay, error) {
		row, err := q.RevokeRelay(ctx, name)
		if err != nil {
			return RevokedRelay{}, err
		}
		key, err := q.RenewMeshKey(ctx, row.RegionID)
		return RevokedRelay{ID: row.ID, Region: int(row.RegionID), MeshKey: key}, err
	})
}

// ConnectRelay notes that a relay has joined.
func (s *Store) ConnectRelay(ctx context.Context, id uuid.UUID, a RelayAddress) error {
	ports := make([]int32, 0, len(a.STUNPorts))
	for _, p := range a.STUNPorts {
		ports = append(ports, int32(p))
	}
	return do(ctx, "connect relay "+id.String(), func(ctx context.Context) error {
		return s.q.ConnectRelay(ctx, db.ConnectRelayParams{
			ID: id, Version: a.Version, Url: a.URL, StunPorts: ports, CertName: a.CertName, PublicKey: a.PublicKey,
		})
	})
}

// DisconnectRelay notes that a relay has left.
func (s *Store) DisconnectRelay(ctx context.Context, id uuid.UUID) error {
	return do(ctx, "disconnect relay "+id.String(), func(ctx context.Context) error { return s.q.DisconnectRelay(ctx, id) })
}

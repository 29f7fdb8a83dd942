package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// ProvisionerKey lets provisioners in. Its secret is kept as a hash only.
type ProvisionerKey struct {
	ID uuid.UUID
	// OrganizationID is whom its provisioners work for.
	OrganizationID uuid.UUID
	Organization   string // its name, in lists
	Name           string
	SecretHash     []byte
	// Tags that provisioners with the key have, whatever they say.
	Tags      map[string]string
	CreatedAt time.Time
}

// Provisioner is a program that runs jobs.
type Provisioner struct {
	ID    uuid.UUID
	KeyID uuid.UUID // zero for those built in
	// KeyName is "" for those built in, and OrganizationID, which only the fleet
	// has, zero: they work for all.
	KeyName, Name, Version, TerraformVersion string
	OrganizationID                           uuid.UUID
	Tags                                     map[string]string
	Slots, Running                           int
	// Draining is that it takes no more jobs.
	Draining                bool
	ConnectedAt, LastSeenAt time.Time
	// LeftAt is when its last session ended; nil while it has one, or if that ended
	// with the coordinator.
	LeftAt *time.Time
}

func keyFrom(k db.ProvisionerKey) ProvisionerKey {
	return ProvisionerKey{ID: k.ID, OrganizationID: k.OrganizationID, Name: k.Name, SecretHash: k.SecretHash, Tags: mapFrom(k.Tags), CreatedAt: k.CreatedAt}
}

// CreateProvisionerKey makes a key; ErrConflict if the name is taken.
func (s *Store) CreateProvisionerKey(ctx context.Context, name string, secretHash []byte, tags map[string]string, creator, organizationID uuid.UUID) (ProvisionerKey, error) {
	k, err := oneTx(ctx, s, "create provisioner key "+name, func(ctx context.Context, q *db.Queries) (db.ProvisionerKey, error) {
		return q.InsertProvisionerKey(ctx, db.InsertProvisionerKeyParams{
			Name: name, SecretHash: secretHash, Tags: jsonMap(tags), CreatedBy: nullable(creator), OrganizationID: organizationID,
		})
	})
	return keyFrom(k), err
}

// LiveProvisionerKey finds a key that is not revoked.
func (s *Store) LiveProvisionerKey(ctx context.Context, id uuid.UUID) (ProvisionerKey, error) {
	k, err := one(ctx, "provisioner key "+id.String(), func(ctx context.Context) (db.ProvisionerKey, error) {
		return s.q.LiveProvisionerKey(ctx, id)
	})
	return keyFrom(k), err
}

// ProvisionerKeys lists the keys of some organizations that are not revoked, by the
// names of key and organization.
func (s *Store) ProvisionerKeys(ctx context.Context, of Scope, p Page) ([]ProvisionerKey, error) {
	rows, err := one(ctx, "provisioner keys", func(ctx context.Context) ([]db.ProvisionerKeysRow, error) {
		return s.q.ProvisionerKeys(ctx, db.ProvisionerKeysParams{
			Everywhere: of.Everywhere, Organizations: of.in(), AfterName: strings.ToLower(p.after(0)), AfterOrganization: strings.ToLower(p.after(1)),
			Name: p.Name, Max: int32(p.Max),
		})
	})
	list := make([]ProvisionerKey, 0, len(rows))
	for _, r := range rows {
		list = append(list, namedKeyFrom(db.ProvisionerKeysByNameRow(r)))
	}
	return list, err
}

func namedKeyFrom(r db.ProvisionerKeysByNameRow) ProvisionerKey {
	k := keyFrom(r.ProvisionerKey)
	k.Organization = r.OrganizationName
	return k
}

// ProvisionerKeysByName finds the keys of a name that are not revoked, in any case:
// each organization may have one.
func (s *Store) ProvisionerKeysByName(ctx context.Context, name string) ([]ProvisionerKey, error) {
	rows, err := one(ctx, "provisioner key "+name, func(ctx context.Context) ([]db.ProvisionerKeysByNameRow, error) {
		return s.q.ProvisionerKeysByName(ctx, name)
	})
	list := make([]ProvisionerKey, 0, len(rows))
	for _, r := range rows {
		list = append(list, namedKeyFrom(r))
	}
	return list, err
}

// RevokeProvisionerKey ends a key.
func (s *Store) RevokeProvisionerKey(ctx context.Context, id uuid.UUID) error {
	return affected(ctx, "revoke provisioner key "+id.String(), func(ctx context.Context) (int64, error) {
		return s.q.RevokeProvisionerKey(ctx, id)
	})
}

// ConnectProvisioner notes a provisioner that connected, and returns when that was.
func (s *Store) ConnectProvisioner(ctx context.Context, p Provisioner) (time.Time, error) {
	return one(ctx, "connect provisioner "+p.Name, func(ctx context.Context) (time.Time, error) {
		return s.q.UpsertProvisioner(ctx, db.UpsertProvisionerParams{
			ID: p.ID, KeyID: nullable(p.KeyID), Name: p.Name, Version: p.Version, TerraformVersion: p.TerraformVersion,
			Tags: jsonMap(p.Tags), Slots: int32(p.Slots), Draining: p.Draining,
		})
	})
}

// DrainProvisioner notes that a provisioner takes no more jobs.
func (s *Store) DrainProvisioner(ctx context.Context, id uuid.UUID) error {
	return do(ctx, "drain provisioner "+id.String(), func(ctx context.Context) error { return s.q.DrainProvisioner(ctx, id) })
}

// LeaveProvisioner notes the end of the session that a provisioner began at a time,
// unless it has begun another.
func (s *Store) LeaveProvisioner(ctx context.Context, id uuid.UUID, connectedAt time.Time) error {
	return do(ctx, "leave of provisioner "+id.String(), func(ctx context.Context) error {
		return s.q.LeaveProvisioner(ctx, db.LeaveProvisionerParams{ID: id, ConnectedAt: connectedAt})
	})
}

// Provisioners lists those seen within a week that work for some organizations, by
// name and id, with the database's clock. Those built in belong to none.
func (s *Store) Provisioners(ctx context.Context, of Scope, p Page) ([]Provisioner, time.Time, error) {
	now, err := one(ctx, "clock", s.q.Now)
	if err != nil {
		return nil, now, err
	}
	rows, err := one(ctx, "provisioners", func(ctx context.Context) ([]db.ProvisionersRow, error) {
		id, err := p.afterID(1)
		if err != nil {
			return nil, err
		}
		return s.q.Provisioners(ctx, db.ProvisionersParams{
			Everywhere: of.Everywhere, Organizations: of.in(), AfterName: strings.ToLower(p.after(0)), AfterID: id, Name: p.Name, Max: int32(p.Max),
		})
	})
	list := make([]Provisioner, 0, len(rows))
	for _, r := range rows {
		list = append(list, Provisioner{
			ID: r.ID, KeyID: r.KeyID.UUID, KeyName: r.KeyName, Name: r.Name, Version: r.Version, TerraformVersion: r.TerraformVersion,
			Tags: mapFrom(r.Tags), Slots: int(r.Slots), Running: int(r.Running), Draining: r.Draining,
			ConnectedAt: r.ConnectedAt, LastSeenAt: r.LastSeenAt, LeftAt: r.LeftAt,
		})
	}
	return list, now, err
}

// JobAttempt names one attempt at a job.
type JobAttempt struct {
	ID      uuid.UUID
	Attempt int
}

// Heartbeat notes that a provisioner is there and runs these jobs. It returns
// those of them that it should run no longer.
func (s *Store) Heartbeat(ctx context.Context, provisionerID uuid.UUID, jobs []JobAttempt) (stale []JobAttempt, err error) {
	p := db.HeartbeatParams{ProvisionerID: nullable(provisionerID)}
	for _, j := range jobs {
		p.Ids, p.Attempts = append(p.Ids, j.ID), append(p.Attempts, int32(j.Attempt))
	}
	good, err := one(ctx, "heartbeat of provisioner "+provisionerID.String(), func(ctx context.Context) ([]uuid.UUID, error) {
		if err := s.q.TouchProvisioner(ctx, provisionerID); err != nil {
			return nil, err
		}
		return s.q.Heartbeat(ctx, p)
	})
	if err != nil {
		return nil, err
	}
	alive := make(map[uuid.UUID]bool, len(good))
	for _, id := range good {
		alive[id] = true
	}
	for _, j := range jobs {
		if !alive[j.ID] {
			stale = append(stale, j)
		}
	}
	return stale, nil
}

// KeyOfProvisioner returns the key that a provisioner has; zero for those
// built in.
func (s *Store) KeyOfProvisioner(ctx context.Context, id uuid.UUID) (uuid.UUID, error) {
	k, err := one(ctx, "key of provisioner "+id.String(), func(ctx context.Context) (uuid.NullUUID, error) {
		return s.q.KeyOfProvisioner(ctx, id)
	})
	return k.UUID, err
}

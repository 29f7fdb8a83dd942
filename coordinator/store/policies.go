package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Policy is who may reach what, as somebody wrote it down.
type Policy struct {
	// Version is 0 if there is none.
	Version int64
	Text    string
	// Creator is a user name.
	Creator   string
	CreatedAt time.Time
	// Size is the text's, in bytes. Lists have no texts.
	Size int
}

// NewestPolicy returns the policy that holds; the zero Policy if there is none.
func (s *Store) NewestPolicy(ctx context.Context) (Policy, error) {
	p, err := one(ctx, "policy", func(ctx context.Context) (Policy, error) {
		r, err := s.q.NewestPolicy(ctx)
		return policyFrom(db.PolicyAtRow(r)), err
	})
	if errors.Is(err, ErrNotFound) {
		return Policy{}, nil
	}
	return p, err
}

func policyFrom(r db.PolicyAtRow) Policy {
	return Policy{Version: r.Version, Text: r.Text, Creator: r.Creator, CreatedAt: r.CreatedAt, Size: len(r.Text)}
}

// PolicyAt returns a version of the policy, or ErrNotFound.
func (s *Store) PolicyAt(ctx context.Context, version int64) (Policy, error) {
	return one(ctx, "policy", func(ctx context.Context) (Policy, error) {
		r, err := s.q.PolicyAt(ctx, version)
		return policyFrom(r), err
	})
}

// PolicyVersions lists at most limit versions, the newest first, from below one on.
func (s *Store) PolicyVersions(ctx context.Context, before int64, limit int) ([]Policy, error) {
	rows, err := one(ctx, "versions of the policy", func(ctx context.Context) ([]db.PolicyVersionsRow, error) {
		return s.q.PolicyVersions(ctx, db.PolicyVersionsParams{Before: before, Max: int32(limit)})
	})
	list := make([]Policy, 0, len(rows))
	for _, r := range rows {
		list = append(list, Policy{Version: r.Version, Creator: r.Creator, CreatedAt: r.CreatedAt, Size: int(r.Size)})
	}
	return list, err
}

// SetPolicy makes a text the policy that holds; ErrChanged unless the one before is at one
// of the versions.
func (s *Store) SetPolicy(ctx context.Context, text string, by uuid.UUID, at Versions) (Policy, error) {
	return oneTx(ctx, s, "set the policy", func(ctx context.Context, q *db.Queries) (Policy, error) {
		// Of two at once, the second sees the first.
		if err := q.LockPolicies(ctx); err != nil {
			return Policy{}, err
		}
		now, err := q.NewestPolicy(ctx)
		if err := kind(err); err != nil && !errors.Is(err, ErrNotFound) {
			return Policy{}, err
		}
		if err := at.Check(now.Version); err != nil {
			return Policy{}, err
		}
		if err := q.InsertPolicy(ctx, db.InsertPolicyParams{Version: now.Version + 1, Text: text, CreatedBy: nullable(by)}); err != nil {
			return Policy{}, err
		}
		made, err := q.NewestPolicy(ctx)
		return policyFrom(db.PolicyAtRow(made)), err
	})
}

// GroupNamesOf returns what the groups of a user are called: ORGANIZATION/GROUP, and those
// of the default organization GROUP, too.
func (s *Store) GroupNamesOf(ctx context.Context, userID uuid.UUID) ([]string, error) {
	rows, err := one(ctx, "groups of user "+userID.String(), func(ctx context.Context) ([]db.GroupNamesOfRow, error) {
		return s.q.GroupNamesOf(ctx, userID)
	})
	var names []string
	for _, r := range rows {
		names = append(names, qualified(r.OrganizationID, r.Organization, r.Name)...)
	}
	return names, err
}

// qualified returns the names of what an organization has.
func qualified(organizationID uuid.UUID, organization, name string) []string {
	names := []string{organization + "/" + name}
	if organizationID == DefaultOrganization {
		names = append(names, name)
	}
	return names
}

//go:build !linux

package hostnet

import (
	"fmt"
	"net/netip"
)

// Resolver is the machine's resolver, set up for the mesh's names until Close.
type Resolver struct{ cfg ResolverConfig }

// OpenResolver has the machine ask for the mesh's names, and for no others, at
// cfg.Server.
func OpenResolver(cfg ResolverConfig) (*Resolver, error) {
	if err := setResolver(cfg); err != nil {
		return nil, fmt.Errorf("hostnet: resolver: %w", err)
	}
	return &Resolver{cfg}, nil
}

// SetReverse has the machine ask for the names of other ranges of addresses from now on. It
// must not be called at the same time as Close.
func (r *Resolver) SetReverse(ranges []netip.Prefix) error {
	r.cfg.Reverse = ranges
	if err := setResolver(r.cfg); err != nil {
		return fmt.Errorf("hostnet: resolver: %w", err)
	}
	return nil
}

// How says by what the resolver was set up, for people.
func (r *Resolver) How() string { return resolverHow }

// Others returns none: other names are asked for elsewhere.
func (r *Resolver) Others() []netip.Addr { return nil }

// Close restores the resolver.
func (r *Resolver) Close() error { return RestoreResolver(r.cfg.Suffix) }

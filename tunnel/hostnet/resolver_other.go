//go:build !linux && !darwin && !windows

package hostnet

import "errors"

const resolverHow = "nothing"

func setResolver(ResolverConfig) error { return errors.New("not known how, on this system") }

// RestoreResolver has nothing to restore.
func RestoreResolver(string) error { return nil }

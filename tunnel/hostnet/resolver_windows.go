package hostnet

import "fmt"

const resolverHow = "the name resolution policy table"

func setResolver(cfg ResolverConfig) error {
	return run([][]string{windowsNoRule(), windowsRule(cfg.zones(), cfg.Server.Addr())})
}

// RestoreResolver takes out of the resolver's settings what a daemon has left there,
// whose end was none of its own making.
func RestoreResolver(string) error {
	if err := run([][]string{windowsNoRule()}); err != nil {
		return fmt.Errorf("hostnet: restore the resolver: %w", err)
	}
	return nil
}

package hostnet

import (
	"fmt"
	"os"
)

// resolverDir is where macOS looks for servers by suffix.
const resolverDir = "/etc/resolver"

const resolverHow = resolverDir

func setResolver(cfg ResolverConfig) error {
	if err := os.MkdirAll(resolverDir, 0o755); err != nil {
		return err
	}
	return setResolverFiles(resolverDir, cfg)
}

// RestoreResolver takes out of the resolver's settings what a daemon has left there,
// whose end was none of its own making.
func RestoreResolver(string) error {
	if err := removeResolverFiles(resolverDir); err != nil {
		return fmt.Errorf("hostnet: restore the resolver: %w", err)
	}
	return nil
}

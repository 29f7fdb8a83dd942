package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// resolverDir is where macOS looks for servers by suffix.
const resolverDir = "/etc/resolver"

const resolverHow = resolverDir

func setResolver(cfg ResolverConfig) error {
	if err := os.MkdirAll(resolverDir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(resolverDir, cfg.Suffix), []byte(darwinResolver(cfg.Server)), 0o644)
}

// RestoreResolver takes out of the resolver's settings what a daemon has left there,
// whose end was none of its own making.
func RestoreResolver(suffix string) error {
	file := filepath.Join(resolverDir, suffix)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(text), managedLine) {
		return nil // none, or somebody else's
	}
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		return fmt.Errorf("hostnet: restore the resolver: %w", err)
	}
	return nil
}

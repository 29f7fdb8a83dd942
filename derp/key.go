package derp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"tailscale.com/types/key"
)

// loadKey reads the private key in file, or makes one and writes it there,
// readable by its owner alone. An empty file name makes a key that is nowhere
// kept.
func loadKey(file string) (key.NodePrivate, error) {
	if file == "" {
		return key.NewNode(), nil
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return key.NodePrivate{}, fmt.Errorf("read the relay's key: %w", err)
	}
	var k key.NodePrivate
	if err := k.UnmarshalText(raw); err != nil {
		return key.NodePrivate{}, fmt.Errorf("relay's key in %s: %w", file, err)
	}
	return k, nil
}

func makeKey(file string) (key.NodePrivate, error) {
	k := key.NewNode()
	text, err := k.MarshalText()
	if err != nil {
		return key.NodePrivate{}, fmt.Errorf("make the relay's key: %w", err)
	}
	// Whole or not at all: half a key would keep every later start from working.
	part := file + ".part"
	err = os.WriteFile(part, text, 0o600)
	if err == nil {
		err = os.Rename(part, file)
	}
	if err != nil {
		return key.NodePrivate{}, fmt.Errorf("write the relay's key: %w", err)
	}
	return k, nil
}

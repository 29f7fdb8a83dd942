package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aditmesh/adit/coordinator/workspaces"
)

// stateKeyEnv has the keys that seal states, for those who keep no secrets in
// files.
const stateKeyEnv = "ADIT_STATE_KEY"

// stateKeys returns the keys that seal states: those of the environment, else of
// the file that was named, else of one in the data directory.
func stateKeys(f serverFlags) (*workspaces.Keyring, error) {
	if text := os.Getenv(stateKeyEnv); text != "" && f.stateKeyFile == "" {
		keys, err := workspaces.ParseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stateKeyEnv, err)
		}
		return keys, nil
	}
	return workspaces.LoadKeys(f.keyFile())
}

func (f serverFlags) keyFile() string {
	if f.stateKeyFile != "" {
		return f.stateKeyFile
	}
	return filepath.Join(f.dataDir, "state.key")
}

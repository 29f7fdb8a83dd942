//go:build !slim

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/coordinator/seal"
)

// stateKeyEnv has the keys that seal states, for those who keep no secrets in
// files.
const stateKeyEnv = "ADIT_STATE_KEY"

func newRotateStateKeyCmd(a *app, f *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rotate-state-key", Short: "Have the server seal Terraform's states with a new key",
		Long: "Adds a new key to the file that seals Terraform's states. When the server is started again it seals every state anew\n" +
			"with it, and then removes the older keys from the file.",
		Example: `  adit server rotate-state-key --data-dir /var/lib/adit && systemctl restart adit`,
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flagsFromEnv(cmd.Flags(), "ADIT_"); err != nil {
				return err
			}
			if f.keysInEnv() {
				return usagef("the keys are in %s; put a line of `openssl rand -base64 32` before them, and restart the server", stateKeyEnv)
			}
			if err := seal.Rotate(f.keyFile()); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "There is a new key in %s. Restart the server: it seals every state anew and removes the older keys.\n", f.keyFile())
			return nil
		},
	}
}

// useNewestKey seals all states with the first key, and has the others forgotten
// if they are in a file. Where that fails, the server does with all of them.
func useNewestKey(ctx context.Context, f serverFlags, keys *seal.Keys, reseal func(context.Context) (int, error), log *slog.Logger) {
	if !keys.HasOlder() {
		return
	}
	n, err := reseal(ctx)
	switch {
	case err != nil:
	case f.keysInEnv():
		log.Info("states and secrets are sealed with the first key; the others can be removed", "sealed", n, "from", stateKeyEnv)
	default:
		if err = keys.ForgetOlder(f.keyFile()); err == nil {
			log.Info("states and secrets are sealed with a new key, and the older ones removed", "sealed", n, "file", f.keyFile())
		}
	}
	if err != nil {
		log.Error("states or secrets stay sealed with older keys, which are still needed", "err", err)
	}
}

// stateKeys returns the keys that seal states: those of the environment, else of
// the file that was named, else of one in the data directory.
func stateKeys(f serverFlags) (*seal.Keys, error) {
	if f.keysInEnv() {
		keys, err := seal.Parse(os.Getenv(stateKeyEnv))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stateKeyEnv, err)
		}
		return keys, nil
	}
	return seal.Load(f.keyFile())
}

// keysInEnv reports whether the environment has the keys, and no file.
func (f serverFlags) keysInEnv() bool { return os.Getenv(stateKeyEnv) != "" && f.stateKeyFile == "" }

func (f serverFlags) keyFile() string {
	if f.stateKeyFile != "" {
		return f.stateKeyFile
	}
	return filepath.Join(f.dataDir, "state.key")
}

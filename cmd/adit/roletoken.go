package main

import (
	"fmt"
	"os"
	"strings"
)

// roleToken finds the token that an agent, a provisioner or a relay joins with: flag,
// file, then the variable env. Of what prints one it tells who has none.
func roleToken(role, flag, file, env, printed string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		if token := strings.TrimSpace(string(raw)); token != "" {
			return token, nil
		}
		return "", fmt.Errorf("--token-file %s is empty", file)
	}
	if token := os.Getenv(env); token != "" {
		return token, nil
	}
	return "", usagef("give the %s's token with --token, --token-file or %s; %s", role, env, printed)
}

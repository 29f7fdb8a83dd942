// Package agenttoken derives the ids and tokens of a workspace's agents, so
// that the coordinator and the Terraform provider agree on them before either
// has made anything.
//
// An agent keeps its id, and with it its address, over all builds of its
// workspace. Its token is new with each build that starts the workspace, for it
// is derived from the secret of the build.
package agenttoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"github.com/google/uuid"
)

// Prefix tells people, and scanners for leaked secrets, what they have found.
const Prefix = "adit_agent_"

// SecretSize is the length of a build's secret in bytes.
const SecretSize = 32

// ID returns the id of a workspace's agent of this name.
func ID(workspace uuid.UUID, name string) uuid.UUID {
	return uuid.NewSHA1(workspace, []byte(name))
}

// Secret returns the text in an agent's token that a build with this secret
// gives it.
func Secret(buildSecret []byte, name string) string {
	mac := hmac.New(sha256.New, buildSecret)
	mac.Write([]byte(name))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Token returns the token that a build with this secret gives an agent.
func Token(workspace uuid.UUID, buildSecret []byte, name string) string {
	return Format(ID(workspace, name), Secret(buildSecret, name))
}

// Format returns the token of an agent with this secret text.
func Format(id uuid.UUID, text string) string {
	return Prefix + hex.EncodeToString(id[:]) + "_" + text
}

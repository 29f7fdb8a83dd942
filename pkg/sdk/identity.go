package sdk

import (
	"context"
	"net/http"
)

// Ways of an agent to come by its token.
const (
	AuthToken  = "token"
	AuthAWS    = "aws-instance-identity"
	AuthGoogle = "google-instance-identity"
	AuthAzure  = "azure-instance-identity"
)

// InstanceProof is what a cloud's metadata service says of the instance that asks.
type InstanceProof struct {
	Kind string `json:"kind" enum:"aws-instance-identity,google-instance-identity,azure-instance-identity"`
	// Document is AWS's instance identity document; the others have none.
	Document string `json:"document,omitempty" maxLength:"16384"`
	// Signature is AWS's of the document (rsa2048), Azure's attested data, or
	// Google's token.
	Signature string `json:"signature" minLength:"1" maxLength:"32768"`
}

// AgentToken is what an agent signs in with.
type AgentToken struct {
	Token string `json:"token"`
}

// ExchangeIdentity returns the token of the agent that is to run on an instance.
// ErrNotFound if no workspace has one there, or not yet.
func (c *Client) ExchangeIdentity(ctx context.Context, p InstanceProof) (string, error) {
	var t AgentToken
	err := c.do(ctx, http.MethodPost, &t, p, "agent", "identity")
	return t.Token, err
}

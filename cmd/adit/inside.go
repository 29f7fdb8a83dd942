package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aditmesh/adit/agent/self"
	"github.com/aditmesh/adit/pkg/agenttoken"
	"github.com/aditmesh/adit/pkg/sdk"
)

// meshClient is client for commands that go to workspaces. Programs of a workspace that
// are not signed in go where links of the policy lead from there: its agent gives them
// what they need for it.
func (a *app) meshClient(ctx context.Context) (*sdk.Client, error) {
	c, err := a.client()
	socket := os.Getenv(self.SocketEnv)
	if !errors.Is(err, errNotSignedIn) || socket == "" || a.token != "" || os.Getenv("ADIT_TOKEN") != "" {
		return c, err
	}
	agent := self.NewClient(socket)
	first, err := agent.Login(ctx)
	if err != nil { // and no error of what is asked for with it
		return nil, fmt.Errorf("not signed in, and the workspace's agent has nothing to sign in with: %v", err)
	}
	u, err := parseURL(first.URL)
	if err != nil {
		return nil, err
	}
	if a.url != "" {
		if asked, err := parseURL(a.url); err != nil || asked.String() != u.String() {
			return nil, errNotSignedIn
		}
	}
	return sdk.NewRenewing(u, func(ctx context.Context) (string, error) {
		now, err := agent.Login(ctx)
		if err == nil && now.URL != first.URL {
			err = fmt.Errorf("the workspace's agent has gone from %s to %s", first.URL, now.URL)
		}
		return now.Token, err
	}), nil
}

// isOfWorkspace reports whether a client is a workspace's agent's, or its programs', and
// reaches what links lead there to.
func isOfWorkspace(c *sdk.Client) bool {
	return c.Renew() != nil || strings.HasPrefix(c.Token(), agenttoken.Prefix)
}

// ownWorkspace returns the workspace that a client is of.
func ownWorkspace(ctx context.Context, c *sdk.Client) (sdk.Workspace, error) {
	if c.Renew() != nil {
		return self.NewClient(os.Getenv(self.SocketEnv)).Workspace(ctx)
	}
	return c.OwnWorkspace(ctx)
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/aditmesh/adit/pkg/sdk"
)

// connections asks the API who is linked to a workspace and by which path.
func (d *deployment) connections(workspace string) ([]sdk.Connection, error) {
	var s session
	raw, err := os.ReadFile(filepath.Join(d.dir, "config", "session.json"))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, d.url()+"/api/v1/workspaces/me/"+workspace+"/connections", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	// The server is asked on its own host, whatever ails the others' networks.
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = d.server.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list sdk.List[sdk.Connection]
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("connections: %s", resp.Status)
	}
	return list.Items, json.NewDecoder(resp.Body).Decode(&list)
}

// linked waits until the API shows a connected client of a workspace whose link is
// as wanted, and returns that.
func (d *deployment) linked(workspace, what string, is func(sdk.Connection) bool) sdk.Connection {
	d.t.Helper()
	var found sdk.Connection
	d.eventually(what, func() bool {
		list, err := d.connections(workspace)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, c := range list {
			if c.ClientConnected && c.ByClient != nil && c.ByAgent != nil && is(c) {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

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
	var list sdk.List[sdk.Connection]
	err := d.get(&list, "/api/v1/workspaces/me/"+workspace+"/connections")
	return list.Items, err
}

// get asks the API as the person who is signed in. The server is asked on its own host,
// whatever ails the others' networks.
func (d *deployment) get(into any, path string) error {
	var s session
	raw, err := os.ReadFile(filepath.Join(d.dir, "config", "session.json"))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodGet, d.url()+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
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
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
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

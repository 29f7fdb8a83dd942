package sdk

import (
	"context"
	"net/http"
	"time"
)

// ICE is what a browser needs to find a path, or a relay.
type ICE struct {
	Servers   []ICEServer `json:"ice_servers" doc:"As RTCConfiguration.iceServers has them"`
	ExpiresAt time.Time   `json:"expires_at" doc:"When the credentials end"`
}

// ICEServer is a STUN or TURN server, as RTCIceServer describes one.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
	Region     string   `json:"region" doc:"Code of the relay's region"`
}

// ICEServers lists the STUN and TURN servers, with credentials for the caller.
func (c *Client) ICEServers(ctx context.Context) (ice ICE, err error) {
	err = c.do(ctx, http.MethodGet, &ice, nil, "ice-servers")
	return ice, err
}

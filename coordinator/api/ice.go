package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/pkg/sdk"
)

// iceLasts is how long credentials of TURN are good for: a working day. They have to
// last as long as what they began.
const iceLasts = 12 * time.Hour

// maxICEServers is how many are named: browsers ask each of them, and grow slow with
// more.
const maxICEServers = 4

func (a *API) registerICE(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "list-ice-servers", Method: http.MethodGet, Path: "/api/v1/ice-servers",
		Summary: "STUN and TURN servers for a browser's RTCPeerConnection, with credentials", Security: signedIn(),
		Middlewares: huma.Middlewares{withOrigin},
	}, a.iceServers)
}

func (a *API) iceServers(ctx context.Context, _ *struct{}) (*body[sdk.ICE], error) {
	expires := time.Now().Add(iceLasts).Truncate(time.Second)
	ice := sdk.ICE{Servers: []sdk.ICEServer{}, ExpiresAt: expires}
	user := strconv.FormatInt(expires.Unix(), 10) + ":" + caller(ctx).UserID.String()
	for _, s := range a.Relays.ICEServers() {
		if len(ice.Servers) >= 2*maxICEServers {
			break
		}
		at := s.At(a.accessURL(ctx).Hostname())
		ice.Servers = append(ice.Servers, sdk.ICEServer{Region: s.Region, URLs: []string{"stun:" + at}})
		if s.TURNSecret != "" {
			ice.Servers = append(ice.Servers, sdk.ICEServer{
				Region: s.Region, URLs: []string{"turn:" + at + "?transport=udp"}, Username: user, Credential: turnPassword(s.TURNSecret, user),
			})
		}
	}
	return &body[sdk.ICE]{ice}, nil
}

// turnPassword is the password of a name that says until when it is good, as
// draft-uberti-behave-turn-rest-00 has it.
func turnPassword(secret, user string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

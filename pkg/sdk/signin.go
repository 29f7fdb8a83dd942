package sdk

import (
	"context"
	"net/http"
)

// SignInMethods are the ways to sign in.
type SignInMethods struct {
	Password  bool             `json:"password"`
	Providers []SignInProvider `json:"providers"`
	SignedIn  bool             `json:"signed_in" doc:"The browser that asks has a session"`
}

// SignInProvider is somebody else who says who people are.
type SignInProvider struct {
	Name  string `json:"name"`
	Title string `json:"title" doc:"For people"`
	Path  string `json:"path" doc:"Where a browser begins"`
	// Linked is for the browser that asks, as SignedIn is.
	Linked bool `json:"linked" doc:"The account of the browser's session is linked to it"`
}

// DeviceLogin is what a command line needs that waits to be let in.
type DeviceLogin struct {
	DeviceCode string `json:"device_code" doc:"What to ask with; nobody else is to see it"`
	UserCode   string `json:"user_code" doc:"What people compare"`
	URL        string `json:"url" doc:"Where somebody lets it in"`
	Interval   int    `json:"interval" doc:"Seconds to wait between two questions"`
	ExpiresIn  int    `json:"expires_in" doc:"Seconds until it is too late"`
}

// DeviceCode asks whether somebody let a command line in.
type DeviceCode struct {
	DeviceCode string `json:"device_code" minLength:"1" maxLength:"200"`
}

// DeviceSession is a session once somebody let the command line in.
type DeviceSession struct {
	Session *Session `json:"session" doc:"Null while nobody has"`
}

// SignInMethods lists the ways to sign in. It needs no token.
func (c *Client) SignInMethods(ctx context.Context) (m SignInMethods, err error) {
	err = c.do(ctx, http.MethodGet, &m, nil, "login", "methods")
	return m, err
}

// LoginDevice asks to be let in by somebody with a browser.
func (c *Client) LoginDevice(ctx context.Context) (d DeviceLogin, err error) {
	err = c.do(ctx, http.MethodPost, &d, nil, "login", "device")
	return d, err
}

// LoginDeviceToken asks whether somebody has; the session is nil until then.
func (c *Client) LoginDeviceToken(ctx context.Context, deviceCode string) (s DeviceSession, err error) {
	err = c.do(ctx, http.MethodPost, &s, DeviceCode{DeviceCode: deviceCode}, "login", "device", "token")
	return s, err
}

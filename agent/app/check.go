package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// check checks once.
func (s *supervisor) check(ctx context.Context, c sdk.AppCheck) error {
	switch {
	case c.URL != "":
		return checkURL(ctx, c.URL)
	case c.TCP != "":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.TCP)
		if err != nil {
			return err
		}
		return conn.Close()
	default:
		if err := s.run(ctx, "", c.Command); err != nil {
			if ctx.Err() != nil {
				err = errors.New("it took too long")
			}
			return fmt.Errorf("the check failed: %w", err)
		}
		return nil
	}
}

// local asks programs of this machine: whose certificate they have does not matter,
// and where they redirect to is an answer.
var local = &http.Client{
	Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, ResponseHeaderTimeout: maxCheck,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       maxCheck + time.Second,
}

func checkURL(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := local.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

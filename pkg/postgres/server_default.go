//go:build !linux

package postgres

import (
	"context"
	"errors"
)

// ErrUnsupported: Postgres is embedded on Linux only.
var ErrUnsupported = errors.New("no Postgres is embedded on this platform; run one and give --postgres-url")

// Server is not there.
type Server struct{}

// Start is not supported here.
func Start(context.Context, Config) (*Server, error) { return nil, ErrUnsupported }

// Inspect is not supported here.
func Inspect(context.Context, string) (Inspected, error) { return Inspected{}, ErrUnsupported }

// URL is not supported here.
func (*Server) URL() string { return "" }

// CreateDatabase is not supported here.
func (*Server) CreateDatabase(context.Context, string) (string, error) { return "", ErrUnsupported }

// Close is not supported here.
func (*Server) Close() error { return nil }

// Package storetest gives the tests of a package a Postgres whose databases have
// the store's schema from the start: to migrate each of a hundred takes minutes.
package storetest

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/postgres"
	"github.com/aditmesh/adit/pkg/postgres/postgrestest"
)

// Main is [postgrestest.Main] for those who open a store.
func Main(m *testing.M, server **postgres.Server) (code int) {
	return postgrestest.Main(m, server, func(ctx context.Context, url string) error {
		s, err := store.Open(ctx, url, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		s.Close()
		return nil
	})
}

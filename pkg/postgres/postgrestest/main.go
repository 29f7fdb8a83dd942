// Package postgrestest gives the tests of a package one real Postgres, and
// each test a database of its own in it.
package postgrestest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/aditmesh/adit/pkg/postgres"
)

// Main runs a package's tests with a Postgres, which it stores in server, and
// returns the exit code. It fails if goroutines are left over. Every database that
// is made there begins as prepare leaves the one whose connection string it gets;
// without prepare it begins empty.
func Main(m *testing.M, server **postgres.Server, prepare ...func(ctx context.Context, url string) error) (code int) {
	dir, err := os.MkdirTemp("", "adit-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		panic(err)
	}
	*server, err = postgres.Start(context.Background(), postgres.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	if err := forget(context.Background(), (*server).URL()); err != nil {
		panic(err)
	}
	for _, prepare := range prepare {
		if err := prepare(context.Background(), strings.Replace((*server).URL(), "/postgres?", "/template1?", 1)); err != nil {
			panic(err)
		}
	}
	code = m.Run()
	err = (*server).Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if leaks := goleak.Find(); leaks != nil || err != nil {
		fmt.Fprintln(os.Stderr, leaks, err)
		return 1
	}
	return code
}

// forget lets a server lose everything when the machine does: what a test has
// made is of no use afterwards, and the disk is what tests wait for.
func forget(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		"alter system set fsync = off",
		"alter system set synchronous_commit = off",
		"alter system set full_page_writes = off",
		"select pg_reload_conf()",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Database makes a database for one test and returns its connection string.
func Database(t testing.TB, server *postgres.Server) string {
	t.Helper()
	url, err := server.CreateDatabase(t.Context(), fmt.Sprintf("t%d", time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	return url
}

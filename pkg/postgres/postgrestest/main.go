// Package postgrestest gives the tests of a package one real Postgres, and
// each test a database of its own in it.
package postgrestest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/pkg/postgres"
)

// Main runs a package's tests with a Postgres, which it stores in server, and
// returns the exit code. It fails if goroutines are left over.
func Main(m *testing.M, server **postgres.Server) (code int) {
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
	code = m.Run()
	err = (*server).Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if leaks := goleak.Find(); leaks != nil || err != nil {
		fmt.Fprintln(os.Stderr, leaks, err)
		return 1
	}
	return code
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

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// undefinedTable is SQLSTATE 42P01.
const undefinedTable = "42P01"

// Inspected is what a database is like, before it is opened.
type Inspected struct {
	Version string // of the server
	// Pending are the migrations that Open would run.
	Pending []string
	// Unknown counts those that a newer release ran.
	Unknown int
}

// Inspect looks at the database at url and changes nothing. ErrTooOld is a server
// that Open would not take.
func Inspect(ctx context.Context, url string) (Inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var in Inspected
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return in, fmt.Errorf("store: Postgres URL: %w", err)
	}
	cfg.ConnectTimeout = opTimeout
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return in, fmt.Errorf("store: connect to Postgres: %w", dialError(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var num string
	if err := conn.QueryRow(ctx, "select current_setting('server_version'), current_setting('server_version_num')").Scan(&in.Version, &num); err != nil {
		return in, fmt.Errorf("store: server version: %w", err)
	}
	if n, err := strconv.Atoi(num); err != nil || n < minServerVersion {
		return in, fmt.Errorf("store: server version %s: %w; %d or newer is needed", in.Version, ErrTooOld, minServerVersion/10000)
	}
	rows, err := conn.Query(ctx, "select version_id from goose_db_version where is_applied and version_id > 0")
	var applied []int64
	if err == nil {
		applied, err = pgx.CollectRows(rows, pgx.RowTo[int64])
	}
	var pg *pgconn.PgError
	if err != nil && (!errors.As(err, &pg) || pg.Code != undefinedTable) {
		return in, fmt.Errorf("store: migrations: %w", err)
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return in, fmt.Errorf("store: migrations: %w", err)
	}
	left := make(map[int64]bool)
	for _, v := range applied {
		left[v] = true
	}
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return in, fmt.Errorf("store: migration %s has no number", f)
		}
		if !left[v] {
			in.Pending = append(in.Pending, path.Base(f))
		}
		delete(left, v)
	}
	in.Unknown = len(left)
	return in, nil
}

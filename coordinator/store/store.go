// Package store keeps everything that outlives the coordinator, in Postgres.
// It is the only package that knows SQL.
//
// [Open] migrates the schema and returns a [Store]; its methods may be called
// concurrently. Each is one statement or one transaction, takes no longer than
// a few seconds even when the database hangs, and leaves nothing half done.
// Errors match ErrNotFound, ErrConflict or ErrKeyInUse where the caller can do
// something about it; any other means that the database did not do its part,
// and the same call may succeed later.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/aditmesh/adit/coordinator/store/internal/db"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("already exists")
	ErrKeyInUse = errors.New("public key belongs to another node")
	ErrTooOld   = errors.New("server is too old")
	// ErrChanged is that what was to be changed is not as the caller saw it.
	ErrChanged = errors.New("changed meanwhile")
	// ErrBusy is that somebody else is at it; a moment later they will be done.
	ErrBusy = errors.New("somebody else is at it")
	// ErrPlace is a place that a list does not have, as whoever forges one asks for.
	ErrPlace = errors.New("no place in the list")
	// ErrGone is that what was asked for is kept no longer.
	ErrGone = errors.New("is kept no longer")
)

const (
	// minServerVersion is the oldest Postgres, as server_version_num says it.
	minServerVersion = 15_00_00

	// opTimeout bounds one call when the database hangs. A control stream
	// waits this long at most.
	opTimeout = 5 * time.Second

	// openTimeout bounds the first connection.
	openTimeout = 10 * time.Second

	// maxConns is for one replica: work on it is short, and Postgres slows
	// down with connections it does not need.
	maxConns = 16
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a connection pool to a migrated database.
type Store struct {
	pool *pgxpool.Pool
	q    *db.Queries
}

// Open connects to the database at url and brings its schema up to date. Of
// several that open at once, one migrates and the others wait.
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("store: Postgres URL: %w", err)
	}
	cfg.MaxConns = maxConns
	cfg.ConnConfig.ConnectTimeout = opTimeout
	cfg.PrepareConn = actAs
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store: connect to Postgres: %w", err)
	}
	s := &Store{pool: pool, q: db.New(pool)}
	if err := s.prepare(ctx, log); err != nil {
		pool.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, log *slog.Logger) error {
	connect, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var num string
	for {
		err := s.pool.QueryRow(connect, "show server_version_num").Scan(&num)
		if err == nil {
			break
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code != cannotConnectNow {
			return fmt.Errorf("connect to Postgres: %w", err)
		}
		select { // it may be starting
		case <-connect.Done():
			return fmt.Errorf("no answer from Postgres within %v: %w; check --postgres-url", openTimeout, dialError(err))
		case <-time.After(200 * time.Millisecond):
		}
	}
	if v, err := strconv.Atoi(num); err != nil || v < minServerVersion {
		return fmt.Errorf("server version %s: %w; %d or newer is needed", num, ErrTooOld, minServerVersion/10000)
	}
	return s.migrate(ctx, log)
}

// dialError takes what the network said out of the driver's account of every
// address it tried.
func dialError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}

// cannotConnectNow is SQLSTATE 57P03: the server starts, stops or recovers.
const cannotConnectNow = "57P03"

func (s *Store) migrate(ctx context.Context, log *slog.Logger) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	sqlDB := stdlib.OpenDBFromPool(s.pool)
	defer sqlDB.Close()
	// One that came late, from a release between two, is run all the same.
	migrator, err := goose.NewProvider(goose.DialectPostgres, sqlDB, files, goose.WithSessionLocker(locker), goose.WithAllowOutofOrder(true))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	done, err := migrator.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range done {
		log.Info("database migrated", "migration", m.Source.Path, "took", m.Duration)
	}
	return nil
}

// Close ends the pool's connections once their work is done.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("store: ping: %w", err)
	}
	return nil
}

// tx runs f in a transaction: committed if f returns nil, else rolled back.
func (s *Store) tx(ctx context.Context, f func(context.Context, *db.Queries) error) error {
	return s.txWithin(ctx, opTimeout, f)
}

// txWithin is tx for what may take longer than a call, or has to be shorter.
func (s *Store) txWithin(ctx context.Context, limit time.Duration, f func(context.Context, *db.Queries) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// After a commit this does nothing; after a failure the connection
		// is dropped with whatever was left of the transaction.
		_ = tx.Rollback(context.WithoutCancel(ctx))
	}()
	q := s.q.WithTx(tx)
	if err := mark(ctx, q); err != nil {
		return err
	}
	if err := f(ctx, q); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// uniqueViolation is SQLSTATE 23505.
const uniqueViolation = "23505"

// kind turns what Postgres says into what callers tell apart.
func kind(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == uniqueViolation {
		if pg.ConstraintName == "nodes_public_key_key" {
			return ErrKeyInUse
		}
		return fmt.Errorf("%w (%s)", ErrConflict, pg.ConstraintName)
	}
	return err
}

// one runs a query for one row under the time limit of a call.
func one[T any](ctx context.Context, what string, query func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	row, err := query(ctx)
	if err != nil {
		var none T
		return none, fmt.Errorf("store: %s: %w", what, kind(err))
	}
	return row, nil
}

// oneTx is one in a transaction, which statements that make something for a claim
// need.
func oneTx[T any](ctx context.Context, s *Store, what string, query func(context.Context, *db.Queries) (T, error)) (T, error) {
	return one(ctx, what, func(ctx context.Context) (row T, err error) {
		err = s.tx(ctx, func(ctx context.Context, q *db.Queries) error {
			row, err = query(ctx, q)
			return err
		})
		return row, err
	})
}

// do runs a statement under the time limit of a call.
func do(ctx context.Context, what string, statement func(context.Context) error) error {
	_, err := one(ctx, what, func(ctx context.Context) (struct{}, error) { return struct{}{}, statement(ctx) })
	return err
}

// affected runs a statement that must touch a row, or else it is ErrNotFound.
func affected(ctx context.Context, what string, statement func(context.Context) (int64, error)) error {
	rows, err := one(ctx, what, statement)
	if err == nil && rows == 0 {
		return fmt.Errorf("store: %s: %w", what, ErrNotFound)
	}
	return err
}

// Versions are those that what is to be changed may be at; nil is any.
type Versions []int64

// Check returns ErrChanged unless now is one of them.
func (v Versions) Check(now int64) error {
	if v != nil && !slices.Contains(v, now) {
		return ErrChanged
	}
	return nil
}

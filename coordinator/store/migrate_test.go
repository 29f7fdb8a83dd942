package store

import (
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// empty makes a database without a schema and returns its connection string.
func empty(t *testing.T) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := strings.ToLower(t.Name())
	if _, err := conn.Exec(t.Context(), "create database "+name+" template template0"); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1)
}

// schema says what a database is made of: columns, triggers and functions.
func schema(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), `
		select concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) from information_schema.columns where table_schema = 'public'
		union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
		union all select pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
		union all select indexdef from pg_indexes where schemaname = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) < 100 {
		t.Fatalf("schema: %d lines, %v", len(list), err)
	}
	slices.Sort(list)
	return list
}

func TestManyOpenersMigrateOnce(t *testing.T) {
	url := empty(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}

// Whoever ran a version in between, which had later migrations and not all of the
// earlier, ends with the schema that everybody has.
func TestMigrationsThatCameLateAreRun(t *testing.T) {
	url := empty(t)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	sqlDB := stdlib.OpenDB(*cfg)
	defer sqlDB.Close()
	between, err := goose.NewProvider(goose.DialectPostgres, sqlDB, files, goose.WithExcludeVersions([]int64{25, 26}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := between.UpTo(t.Context(), 35); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	fresh := open(t)
	want := schema(t, fresh.pool.Config().ConnString())
	got := schema(t, url)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Error("only after the detour:", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Error("only on the straight way:", line)
		}
	}
}

// Every migration can be taken back, and made again.
func TestMigrationsGoDownAndUp(t *testing.T) {
	s := open(t)
	want := schema(t, s.pool.Config().ConnString())
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	sqlDB := stdlib.OpenDBFromPool(s.pool)
	defer sqlDB.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, sqlDB, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Backward(p.ListSources()) {
		if _, err := p.Down(t.Context()); err != nil {
			t.Fatal(fmt.Errorf("down from %s: %w", m.Path, err))
		}
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := schema(t, s.pool.Config().ConnString()); !slices.Equal(got, want) {
		t.Error("another schema after down and up")
	}
}

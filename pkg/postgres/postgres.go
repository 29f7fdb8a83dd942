// Package postgres runs a private Postgres from the machine's own binaries,
// for deployments that have none.
//
// [Start] makes the database cluster on first use, starts the server on a unix
// socket that only this user (and root) can reach, and starts it again should
// it die. Close shuts it down and waits. Postgres refuses to run as root, so a
// root process has it run by an unprivileged user. If the process is killed,
// the kernel tells Postgres to shut down, and the next Start waits for that.
//
// It does so on Linux only: elsewhere Start says so.
package postgres

import "log/slog"

// Config configures a Server.
type Config struct {
	// Dir is where the cluster lives, in its subdirectory "postgres". It must
	// exist.
	Dir string
	// Logger gets starts and ends; nil discards.
	Logger *slog.Logger
}

# shellcheck shell=bash
# For backup.sh and restore.sh: where a private database is, and the programs of
# its version.

# private_url DATA_DIR: how to reach the private database of a server that runs.
private_url() {
	local sockets
	sockets=$(sed -n 5p "$1/postgres/postmaster.pid" 2>/dev/null) || true
	if [ -z "$sockets" ]; then
		echo "no private database runs in $1: start the server, or give --postgres-url" >&2
		return 1
	fi
	echo "postgres:///postgres?host=$sockets&user=adit&sslmode=disable"
}

# tool NAME URL: a client program at least as new as the server. Older ones refuse.
tool() {
	local psql major dir
	psql=$(command -v psql || compgen -G '/usr/lib/postgresql/*/bin/psql' | sort -V | tail -n 1) || true
	if [ -z "$psql" ]; then
		echo "there is no psql: install Postgres's client programs" >&2
		return 1
	fi
	major=$("$psql" --dbname="$2" --tuples-only --no-align --command='show server_version_num' | cut -c 1-2)
	dir=/usr/lib/postgresql/$major/bin
	if [ -x "$dir/$1" ]; then echo "$dir/$1"; else command -v "$1"; fi
}

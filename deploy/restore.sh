#!/usr/bin/env bash
# Restores what backup.sh wrote, into a data directory that has no database yet, or
# into the empty database that --postgres-url names. No server may use either.
#
#   restore.sh --data-dir DIR [--postgres-url URL] [--adit BIN] FILE.tar
#
# Then start the server as before, with the same access URL: agents find it, and
# join with the tokens they have.
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
. "$here/database.sh"

data='' url='' adit=adit in=''
while [ $# -gt 0 ]; do
	case $1 in
	--data-dir) data=$2; shift 2 ;;
	--postgres-url) url=$2; shift 2 ;;
	--adit) adit=$2; shift 2 ;;
	-*) echo "restore.sh: unknown flag $1" >&2; exit 2 ;;
	*) in=$1; shift ;;
	esac
done
[ -n "$data" ] && [ -n "$in" ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
if [ -z "$url" ] && [ -e "$data/postgres" ]; then
	echo "restore.sh: $data has a database; move it away first" >&2
	exit 1
fi
if [ -e "$data/state.key" ]; then
	echo "restore.sh: $data has a state key; move it away first" >&2
	exit 1
fi

work=$(mktemp -d) server=''
stop() {
	if [ -n "$server" ]; then
		kill -TERM "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
		server=''
	fi
}
trap 'stop; rm -rf "$work"' EXIT
tar -C "$work" -xf "$in"
(cd "$work" && sha256sum --quiet -c sums) || { echo "restore.sh: $in is damaged" >&2; exit 1; }

# The user that runs Postgres has to pass through.
[ -d "$data" ] || { mkdir -p "$data" && chmod 711 "$data"; }
for f in state.key relay.key; do
	[ ! -e "$work/$f" ] || cp "$work/$f" "$data/$f"
done
# The server makes its private database; nobody can reach it meanwhile.
if [ -z "$url" ]; then
	"$adit" server --data-dir "$data" --listen 127.0.0.1:0 --relay=false --provisioners 0 >"$work/server.log" 2>&1 &
	server=$!
	until grep -q '^adit server ready' "$work/server.log"; do
		if ! kill -0 "$server" 2>/dev/null; then
			tail -n 1 "$work/server.log" >&2
			exit 1
		fi
		sleep 0.1
	done
	url=$(private_url "$data")
	# What it made is empty: the backup brings its own schema, and the next start
	# brings that up to date.
	"$(tool psql "$url")" --dbname="$url" --quiet --set=ON_ERROR_STOP=1 --command='drop schema public cascade; create schema public authorization pg_database_owner'
elif [ "$("$(tool psql "$url")" --dbname="$url" --tuples-only --no-align --command="select count(*) from pg_tables where schemaname = 'public'")" != 0 ]; then
	echo "restore.sh: the database has tables; name an empty one" >&2
	exit 1
fi
"$(tool pg_restore "$url")" --dbname="$url" --no-owner --no-privileges --single-transaction --exit-on-error "$work/database.dump"
stop
echo "Restored $in. Start the server, and see adit health."

#!/usr/bin/env bash
# Backs up a deployment into one file: the database as pg_dump writes it, the keys
# that seal Terraform's states, and the embedded relay's key. The server may run
# meanwhile; a private database can only be backed up while it does.
#
#   backup.sh --data-dir DIR [--postgres-url URL] [--state-key-file FILE] FILE.tar
#
# The file has secrets: keep it as you keep the data directory.
set -euo pipefail
umask 077
here=$(cd "$(dirname "$0")" && pwd)
. "$here/database.sh"

data='' url='' keys='' out=''
while [ $# -gt 0 ]; do
	case $1 in
	--data-dir) data=$2; shift 2 ;;
	--postgres-url) url=$2; shift 2 ;;
	--state-key-file) keys=$2; shift 2 ;;
	-*) echo "backup.sh: unknown flag $1" >&2; exit 2 ;;
	*) out=$1; shift ;;
	esac
done
[ -n "$data" ] && [ -n "$out" ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ -n "$url" ] || url=$(private_url "$data")
[ -n "$keys" ] || keys=$data/state.key

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(tool pg_dump "$url")" --dbname="$url" --format=custom --no-owner --no-privileges --file="$work/database.dump"
files=(database.dump)
for f in "$keys:state.key" "$data/relay.key:relay.key"; do
	if [ -e "${f%:*}" ]; then
		cp "${f%:*}" "$work/${f##*:}"
		files+=("${f##*:}")
	fi
done
if [ ! -e "$work/state.key" ]; then
	echo "backup.sh: there is no $keys; back up ADIT_STATE_KEY yourself, or no state can be read" >&2
fi
(cd "$work" && sha256sum "${files[@]}" >sums)
# It is there whole, or not at all.
tar -C "$work" -cf "$out.new" sums "${files[@]}"
mv "$out.new" "$out"
echo "Backed up to $out: ${files[*]}"

#!/bin/sh
# Fetches the adit agent from the coordinator, checks its digest and runs it, on
# Linux and macOS. The token is in ADIT_AGENT_TOKEN, or in the file that
# ADIT_AGENT_TOKEN_FILE names. It tries until the coordinator can be reached.
set -eu

url='@URL@'
# How the agent proves who it is, if not by a token.
auth='@AUTH@'
dir=${ADIT_AGENT_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/adit}
log_file=$dir/init.log

say() {
	line="$(date -u +%Y-%m-%dT%H:%M:%SZ) adit: $*"
	echo "$line" >&2
	{ echo "$line" >>"$log_file"; } 2>/dev/null || true
}

# The directory of the home may be on a file system that nothing may be run from,
# or not be ours to write.
mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] || {
	dir=$(mktemp -d)
	log_file=$dir/init.log
}
chmod 700 "$dir"

if [ -n "$auth" ]; then
	ADIT_AGENT_AUTH=$auth
	export ADIT_AGENT_AUTH
elif [ -z "${ADIT_AGENT_TOKEN:-}" ] && [ -z "${ADIT_AGENT_TOKEN_FILE:-}" ]; then
	say "no token: set ADIT_AGENT_TOKEN or ADIT_AGENT_TOKEN_FILE"
	exit 1
fi

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) say "no agent for $(uname -s)"; exit 1 ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
armv7* | armv6*) arch=arm ;;
*) say "no agent for $(uname -m)"; exit 1 ;;
esac
source=$url/api/v1/agent/binary/$os/$arch

if command -v curl >/dev/null 2>&1; then
	fetch() { curl -fsSL --connect-timeout 10 --max-time 600 -o "$2" "$1"; }
elif command -v wget >/dev/null 2>&1; then
	fetch() { wget -q -T 60 -O "$2" "$1"; }
elif command -v busybox >/dev/null 2>&1; then
	fetch() { busybox wget -q -T 60 -O "$2" "$1"; }
else
	say "neither curl nor wget is here to fetch the agent with"
	exit 1
fi

if command -v sha256sum >/dev/null 2>&1; then
	digest() { sha256sum "$1" | cut -d' ' -f1; }
elif command -v shasum >/dev/null 2>&1; then
	digest() { shasum -a 256 "$1" | cut -d' ' -f1; }
else
	digest() { openssl dgst -sha256 -r "$1" | cut -d' ' -f1; }
fi

binary=$dir/adit
# Returns 0 once the binary is there and is what the coordinator says it is.
obtain() {
	fetch "$source/sha256" "$dir/want" 2>>"$log_file" || {
		say "cannot ask $source/sha256"
		return 1
	}
	want=$(tr -d ' \r\n' <"$dir/want")
	if [ -f "$binary" ] && [ "$(digest "$binary")" = "$want" ]; then
		say "the agent is here already"
		return 0
	fi
	say "fetching $source"
	fetch "$source" "$binary.new" 2>>"$log_file" || {
		say "cannot fetch $source"
		return 1
	}
	got=$(digest "$binary.new")
	if [ "$got" != "$want" ]; then
		rm -f "$binary.new"
		say "the agent has the digest $got, and $want was promised"
		return 1
	fi
	chmod 755 "$binary.new"
	mv "$binary.new" "$binary"
}

delay=1
until obtain; do
	say "trying again in $delay s"
	sleep "$delay"
	delay=$((delay * 2))
	[ "$delay" -le 30 ] || delay=30
done

say "running the agent"
ADIT_URL=$url
export ADIT_URL
exec "$binary" agent

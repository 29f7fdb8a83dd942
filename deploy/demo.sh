#!/usr/bin/env bash
# A deployment to try: a server with an owner, and a workspace "demo" made from
# the template "process"; where there is no Terraform, an external one, whose
# agent runs beside the server. Its state is kept in .run. Ctrl-C ends it all.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

adit=$PWD/bin/adit
url=http://127.0.0.1:7080
state=$PWD/.run
mkdir -p "$state"
chmod 711 "$state"

# Both go with us, however we go; the server is last, so that the agent can say
# goodbye.
server='' agent=''
stop() {
	trap - EXIT INT TERM
	if [ -z "$agent" ] && [ -n "$server" ]; then # its process would outlive the server
		timeout 60 "$adit" stop demo >/dev/null 2>&1 || true
	fi
	for pid in $agent $server; do
		kill -TERM "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap 'stop' EXIT
trap 'stop; exit 0' INT TERM

# Children get no Ctrl-C of their own: stop ends them in order.
setsid "$adit" server --data-dir "$state/data" >"$state/server.log" 2>&1 &
server=$!
echo "Starting the server (log: .run/server.log)…"
until grep -qs '^adit server ready' "$state/server.log"; do
	if ! kill -0 "$server" 2>/dev/null; then
		tail -n 1 "$state/server.log" >&2
		exit 1
	fi
	sleep 0.1
done

[ -s "$state/password" ] || head -c 18 /dev/urandom | base64 >"$state/password"
if ! "$adit" login "$url" --username admin --password-stdin <"$state/password" >/dev/null 2>&1; then
	"$adit" login "$url" --first-user --username admin --email admin@localhost.localdomain --password-stdin <"$state/password" >/dev/null
fi
# The template that the binary carries; a new version only when it has changed.
fromTemplate() {
	rm -rf "$state/process"
	"$adit" templates init process "$state/process" >/dev/null || return 1
	if ! diff -r "$state/process" "$state/pushed" >/dev/null 2>&1 || ! "$adit" templates list | grep -q '^process '; then
		"$adit" templates push process -d "$state/process" 2>>"$state/build.log" >/dev/null || return 1
		rm -rf "$state/pushed"
		cp -r "$state/process" "$state/pushed"
	fi
	if [ -s "$state/agent.token" ]; then # of a run without Terraform, or of an older release
		"$adit" delete -y demo >/dev/null 2>&1 || true
		rm "$state/agent.token"
	fi
	echo "Making workspace demo (log: .run/build.log)…"
	if ! "$adit" show demo >/dev/null 2>&1; then
		"$adit" create demo --template process 2>>"$state/build.log" >/dev/null
	else
		"$adit" update demo 2>>"$state/build.log" >/dev/null
	fi
}

external() {
	if ! "$adit" show demo >/dev/null 2>&1 || [ ! -s "$state/agent.token" ]; then
		"$adit" delete -y demo >/dev/null 2>&1 || true
		"$adit" create demo --external -o json | sed -n 's/.*"agent_token": "\(.*\)",/\1/p' >"$state/agent.token"
	fi
	setsid "$adit" agent --url "$url" --token-file "$state/agent.token" >"$state/agent.log" 2>&1 &
	agent=$!
}

if fromTemplate; then
	:
elif "$adit" show demo -o json 2>/dev/null | grep -q '"external": false'; then
	echo "Workspace demo did not start, see .run/build.log; './bin/adit start demo' tries again." >&2
else
	echo "The template could not be used, see .run/build.log; workspace demo is an external one." >&2
	external
fi

cat <<TXT

adit is up at $url, owner "admin", password in .run/password.
Paste this in another terminal:

    ./bin/adit ssh demo

Ctrl-C here ends it all.
TXT
wait -n $server $agent || true
echo "The server or the agent ended by itself; see .run/server.log and, if it is there, .run/agent.log." >&2
exit 1

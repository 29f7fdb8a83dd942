#!/usr/bin/env bash
# Asks whether what this is built of is known to be flawed. It fails for what ships: packages
# that the pages are made of, and functions of Go modules that the programs call. A flaw of
# a tool that only builds or tests is a warning. Where those who know cannot be reached it
# says so: what is then sure is that nothing is other than what was pinned, for go mod
# verify and npm ci look at that.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
VULNDB=${VULNDB:-https://vuln.go.dev} # or file:///DIRECTORY
failed=0

$GO mod verify
if [[ $VULNDB != file:* ]] && ! curl -fsS --max-time 10 -o /dev/null "$VULNDB/index/db.json" 2>/dev/null; then
	echo "Go: $VULNDB cannot be reached from here"
else
	# It fails only for what is called.
	$GO tool -modfile=tools/go.mod govulncheck -db "$VULNDB" ./cmd/adit || failed=1
fi

cd coordinator/dashboard/web
# flawed OPTION … reports whether npm knows of flaws, and prints them.
flawed() {
	npm audit --json "$@" >"$report" 2>/dev/null && return 1
	grep -q '"auditReportVersion"' "$report" || { unknown=1; return 1; }
	npm audit "$@" || true
}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
unknown=0
if flawed --omit=dev; then
	failed=1
elif [ $unknown = 1 ]; then
	echo "the dashboard: the registry answers no audits here"
elif flawed; then
	echo "the dashboard: warning: that is of what builds and tests it, and not of what ships"
else
	echo "the dashboard: nothing is known of its packages"
fi
exit $failed

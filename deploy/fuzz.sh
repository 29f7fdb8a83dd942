#!/usr/bin/env bash
# Runs every fuzz target for the time given.
set -euo pipefail
for pkg in $(go list ./...); do
	dir=$(go list -f '{{.Dir}}' "$pkg")
	for target in $(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u); do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$pkg"
	done
done

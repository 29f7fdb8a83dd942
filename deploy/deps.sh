#!/usr/bin/env bash
# Installs the Debian packages that a make target needs and this machine lacks,
# and says so first. Usage: deps.sh run|test|dashboard|bench|lint …
set -euo pipefail

# need COMMAND PACKAGE: the command in PATH, or in a place of its package's own.
missing=()
need() {
	command -v "$1" >/dev/null 2>&1 && return
	compgen -G "/usr/sbin/$1" >/dev/null && return
	compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null && return
	missing+=("$2")
}

# needC is a C compiler with its headers.
needC() {
	need gcc gcc
	[ -e /usr/include/stdint.h ] || missing+=(libc6-dev)
}

for target in "$@"; do
	case $target in
	run)
		need postgres postgresql
		;;
	test)
		need postgres postgresql
		need ssh openssh-client
		need scp openssh-client
		need rsync rsync
		need git git
		need xauth xauth
		need tmux tmux
		need nft nftables
		need ip iproute2
		need miniupnpd miniupnpd-nftables
		need podman podman
		need buildah buildah
		need runc runc
		need busybox busybox-static
		need dig bind9-dnsutils
		need ping iputils-ping
		need nc netcat-openbsd
		need curl curl
		need chromium chromium
		need turnutils_uclient coturn
		need nginx nginx-light
		needC # the race detector
		;;
	dashboard)
		need node nodejs
		need npm npm
		;;
	bench)
		need postgres postgresql
		need iperf3 iperf3
		need ping iputils-ping
		;;
	lint)
		need protoc protobuf-compiler
		needC # sqlc's parser of SQL
		;;
	*)
		echo "deps.sh: unknown target $target" >&2
		exit 2
		;;
	esac
done
install() {
	if ! command -v apt-get >/dev/null; then
		echo "This machine lacks: ${missing[*]}. Install them (Debian's names) and run make again." >&2
		exit 1
	fi
	as_root=()
	if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
	mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
	echo "Installing with apt-get: ${missing[*]}"
	# adit runs a Postgres of its own; Debian need not start another.
	"${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
	echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/adit.conf >/dev/null
	"${as_root[@]}" apt-get update -qq
	DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
[ ${#missing[@]} -eq 0 ] || install

# What Debian 12 has is older than what the dashboard is built with.
nodeMin=20.19
if [[ " $* " == *" dashboard "* ]] && has=$(node --version) && ! printf '%s\n' "$nodeMin" "${has#v}" | sort -VC; then
	echo "The dashboard is built with Node $nodeMin or newer, and this machine has ${has#v}: take one from https://nodejs.org." >&2
	exit 1
fi

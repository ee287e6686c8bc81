#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# peers.sh PEER FOLDER: has the samples in FOLDER, and tls_peer, talk TLS with another implementation, as server
# and as client; see peers/PEER.sh. Status 77: the program of the peer is not there.
set -u
peer=$1
script=$(dirname "$(realpath "$0")")/peers/$peer.sh
[ -r "$script" ] || { echo "peers.sh: unknown peer: $peer" >&2; exit 2; }
cd "$2" || exit 1
work=$(mktemp -d)
processes=()
trap 'kill -KILL "${processes[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export LC_ALL=C

die() {
  echo "FAILED: $*" >&2
  exit 1
}

needs() {
  for name; do
    command -v "$name" >/dev/null || [ -x "/usr/sbin/$name" ] || { echo "skipped: needs $name"; exit 77; }
  done
}
PATH=$PATH:/usr/sbin
needs openssl

# An authority, a certificate of a server for localhost and 127.0.0.1, one of a client, and one that the client
# has signed itself.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=authority -days 1 \
  -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout "$work/root.key" -out "$work/root" 2>"$work/err" || die "$(cat "$work/err")"
issue() {
  openssl req -newkey "${4:-ec}" ${5:--pkeyopt ec_paramgen_curve:prime256v1} -nodes -subj "/CN=$1" \
    -keyout "$work/$1.key" -out "$work/$1.request" 2>"$work/err" || die "$(cat "$work/err")"
  printf '%s\n' "subjectAltName=$2" "extendedKeyUsage=$3" >"$work/extensions"
  openssl x509 -req -in "$work/$1.request" -CA "$work/root" -CAkey "$work/root.key" -days 1 \
    -extfile "$work/extensions" -out "$work/$1" 2>"$work/err" || die "$(cat "$work/err")"
}
issue server DNS:localhost,IP:127.0.0.1 serverAuth
issue client email:client@example.org clientAuth
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=stranger -days 1 \
  -keyout "$work/stranger.key" -out "$work/stranger" 2>"$work/err" || die "$(cat "$work/err")"
export SSL_CERT_FILE=$work/root

# start NAME COMMAND...: starts one of our servers; sets $port.
start() {
  local name=$1
  shift
  mkfifo "$work/$name-output"
  "$@" >"$work/$name-output" 2>"$work/$name-errors" &
  processes+=($!)
  read -r line <"$work/$name-output" || die "no output of $name: $(cat "$work/$name-errors")"
  port=${line##*:}
}
start_echo() { start echo ./tls_echo_server "$work/server" "$work/server.key" --port 0; }

# start_peer [OPTION VALUE]...: starts tls_peer as a server; sets $port. What it prints is in $log.
peers=0
start_peer() {
  log=$work/peer-$((++peers)).log
  : >"$log"
  ./tls_peer server certificate "$work/server" key "$work/server.key" "$@" >"$log" 2>&1 &
  processes+=($!)
  prints 'listening on: '
  port=$(sed -n 's/^listening on: //p' "$log")
}

# prints PATTERN [TIMES]: waits until the server that start_peer has started has printed it.
prints() {
  for ((i = 0; i != 1000; ++i)); do
    [ "$(grep -c -- "$1" "$log")" -lt "${2-1}" ] || return 0
    sleep 0.01
  done
  die "not printed: $1: $(cat "$log")"
}

# come PATTERN [OPTION VALUE]...: tls_peer connects to $port, and prints the pattern.
come() {
  local pattern=$1
  shift
  timeout 20 ./tls_peer client "$port" roots "$work/root" "$@" >"$work/come" 2>&1
  grep -q -- "$pattern" "$work/come" || die "tls_peer $*: not printed: $pattern: $(cat "$work/come")"
}

# comes_back [OPTION VALUE]...: tls_peer connects to $port three times, and resumes its session.
comes_back() {
  come 'agreed: .* resumed' times 3 "$@"
  [ "$(grep -c 'agreed: .* resumed' "$work/come")" = 2 ] || die "not resumed: $(cat "$work/come")"
}
# shellcheck disable=SC2034
as_client=(certificate "$work/client" key "$work/client.key")
# shellcheck disable=SC2034
as_stranger=(certificate "$work/stranger" key "$work/stranger.key")

# refuses PATTERN COMMAND...: the command fails, and prints the pattern.
refuses() {
  local pattern=$1
  shift
  timeout 20 "$@" </dev/null >"$work/refused" 2>&1 && die "not refused: $*: $(cat "$work/refused")"
  grep -qi -- "$pattern" "$work/refused" || die "$*: not printed: $pattern: $(cat "$work/refused")"
}

# free_port: sets $port to one that nobody uses now, for servers that cannot pick one.
free_port() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') ||
    die "no free port"
}

# listens PORT: waits until somebody listens there.
listens() {
  for ((i = 0; i != 1000; ++i)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.01
  done
  die "nobody listens on $1: $(cat "$work"/*.log 2>/dev/null)"
}

# get_page PATTERN [HOST]: our client fetches a page from $port.
get_page() {
  timeout 20 ./https_get "${2:-localhost}" "$port" >"$work/page" 2>"$work/err" ||
    die "https_get: $(cat "$work/err")"
  grep -q -- "$1" "$work/page" || die "the page is: $(cat "$work/page")"
}

# Prints the page of a plain web server, whose address follows.
fetch=(python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read())')

# echoes COMMAND...: the command, a client, has its input sent back.
echoes() {
  seq 2000 >"$work/lines"
  : >"$work/received"
  { cat "$work/lines"
    for ((i = 0; i != 1000; ++i)); do
      grep -q '^2000$' "$work/received" && break
      sleep 0.02
    done
  } | timeout 60 "$@" >"$work/received" 2>"$work/err"
  grep -v '^[^0-9]' "$work/received" | grep -E '^[0-9]+$' | cmp - "$work/lines" || die "$*: $(cat "$work/err")"
}

# A plain web server with one page, and TLS in front of it by tls_proxy; sets $port.
start_web() {
  mkdir -p "$work/web"
  echo "the page" >"$work/web/index.html"
  free_port
  plain=$port
  python3 -m http.server --bind 127.0.0.1 --directory "$work/web" "$plain" >"$work/web.log" 2>&1 &
  processes+=($!)
  listens "$plain"
  start proxy ./tls_proxy "$work/server" "$work/server.key" 127.0.0.1 "$plain" --port 0
}

# shellcheck disable=SC1090
. "$script"

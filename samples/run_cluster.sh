#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# run_cluster.sh FOLDER: runs two chat_cluster of FOLDER with Redis and haproxy, all on 127.0.0.1. Four
# people talk, one server is killed, and chat_cluster_check checks each acknowledged line at each of them.
# Then it checks repeated lines, gaps, and an outage of Redis. Status 77 without redis-server or haproxy.
set -u
cd "$1" || exit 1
for program in redis-server haproxy; do
  command -v $program >/dev/null || {
    echo "skipped: needs $program"
    exit 77
  }
done

work=$(mktemp -d)
pids=()
trap 'exec 2>/dev/null; kill -KILL "${pids[@]}" ; wait; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}
nap() {
  read -rt 0.02 <> <(:)
}
# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 end=$((SECONDS + 20))
  shift
  until "$@" 2>/dev/null; do
    [ $SECONDS -lt $end ] || die "$what"
    nap
  done
}
is_open() { # PORT
  (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
# start_on_free_port NAME COMMAND...: starts a program that cannot say its own port, with PORT in its
# arguments; sets $port and $started. If another program takes the port first, it tries the next one.
start_on_free_port() {
  local name=$1 try
  shift
  for try in {1..50}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    is_open $port && continue
    "${@//PORT/$port}" >>"$work/$name.log" 2>&1 &
    started=$!
    until is_open $port; do
      kill -0 $started 2>/dev/null || continue 2
      nap
    done
    # The open port may be that of another program.
    kill -0 $started 2>/dev/null && pids+=($started) && return
  done
  die "$name does not start"
}

# start_server NAME: sets $port and $started.
start_server() {
  ./chat_cluster --port 0 --redis-port $redis --idle 30 --keep 1000 >"$work/$1.log" 2>&1 &
  started=$!
  pids+=($started)
  wait_for "$1 does not start" grep -q '^listening on' "$work/$1.log"
  port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/$1.log")
}

start_on_free_port redis redis-server --bind 127.0.0.1 --port PORT --dir "$work" --save '' \
  --appendonly yes
redis=$port redis_pid=$started
echo "redis    on 127.0.0.1:$redis"
start_server one
one=$port one_pid=$started
start_server two
two=$port two_pid=$started
echo "servers  one on 127.0.0.1:$one, two on 127.0.0.1:$two"

cat >"$work/haproxy.cfg" <<END
global
  log stdout format raw daemon notice
defaults
  log global
  mode tcp
  timeout connect 1s
  timeout client 5m
  timeout server 5m
  retries 3
  option redispatch
  default-server check inter 200ms fall 2 rise 1 send-proxy-v2 check-send-proxy
listen chat
  bind "127.0.0.1:\${CHAT_FRONT}"
  balance roundrobin
  option tcp-check
  tcp-check send "/health\n"
  tcp-check expect string "health ok"
  server one 127.0.0.1:$one
  server two 127.0.0.1:$two
END
start_on_free_port haproxy env CHAT_FRONT=PORT haproxy -db -f "$work/haproxy.cfg"
front=$port
echo "haproxy  on 127.0.0.1:$front, asks each server for its health five times a second"

# ask LINE...: a client of one connection that sends the lines; its answers are in $work/answers. A
# PATTERN with which it ends is the first argument.
ask() {
  local until=$1 line
  shift
  exec 4<>"/dev/tcp/127.0.0.1/$front" || return 1
  printf '%s\n' "$@" >&4
  : >"$work/answers"
  while read -rt 10 line <&4; do
    echo "$line" >>"$work/answers"
    [[ $line =~ $until ]] && break
  done
  exec 4<&-
  [[ $line =~ $until ]]
}
is_served() {
  ask '^welcome' 'hello probe probe'
}
wait_for "haproxy finds no server" is_served

echo "people   four of them talk; one server is killed when they have said half of their lines"
mkfifo "$work/said"
./chat_cluster_check --port $front --members 4 --lines 200 --outages 1 --limit 60 >"$work/said" \
  2>"$work/check.log" &
check=$!
pids+=($check)
killed=
while read -r line; do
  if [ "$line" = half ]; then
    { kill -KILL $one_pid; wait $one_pid; } 2>/dev/null
    killed=yes
    echo "KILL     server one (SIGKILL)"
  else
    echo "  $line"
  fi
done <"$work/said"
wait $check || die "the check: $(cat "$work/check.log")"
[ -n "$killed" ] || die "no server was killed"
grep -q '^alice comes from 127.0.0.1:' "$work/one.log" "$work/two.log" || die "no source of alice"

# A line that is said again has the ID of the first time, also on another connection.
ask '^ok 1' 'hello eve key-of-eve' 'join tea' 'say 1 hello' || die "no answer: $(cat "$work/answers")"
first=$(grep '^ok 1 ' "$work/answers")
place=$(sed -n 's/^joined tea //p' "$work/answers")
ask '^refused 4' 'hello eve key-of-eve' "resume tea $place" 'say 1 hello' 'say 2 two' 'say 4 four' ||
  die "no answer: $(cat "$work/answers")"
grep -qFx "$first" "$work/answers" || die "said again: $(cat "$work/answers")"
grep -qFx 'refused 4 expected 3' "$work/answers" || die "a missing line: $(cat "$work/answers")"
[ "$(grep -c '^said tea .* eve hello$' "$work/answers")" = 1 ] || die "twice: $(cat "$work/answers")"
echo "again    a line that was said again has the same ID, and was heard once"

# Of a room, about 1000 lines stay.
./chat_cluster_check --port $front --members 1 --lines 1 --show 0 >"$work/out.log" || die "a room"
ask 'said tea .* eve two' 'hello fay key-of-fay' "resume tea 1-1" || die "$(cat "$work/answers")"
grep -qFx 'gap tea 1-1' "$work/answers" || die "no gap: $(cat "$work/answers")"
echo "gap      a client that resumes from a line that is no longer in the room is told so"

# While Redis is away, nothing is acknowledged, and no new client is accepted.
exec 5<>"/dev/tcp/127.0.0.1/$front"
printf '%s\n' 'hello gus key-of-gus' 'join tea' >&5
hears() { # PATTERN: sets $heard
  while read -rt 20 heard <&5; do [[ $heard =~ $1 ]] && return; done
  die "gus does not hear $1"
}
hears '^joined tea'
{ kill -KILL $redis_pid; wait $redis_pid; } 2>/dev/null
hears '^\* redis is away'
echo "say 1 hello" >&5
hears '^retry 1 '
redis-server --bind 127.0.0.1 --port $redis --dir "$work" --save '' --appendonly yes \
  >>"$work/redis.log" 2>&1 &
pids+=($!)
hears '^\* redis is back'
echo "say 1 hello" >&5
hears '^ok 1 '
exec 5<&-
echo "outage   while Redis was away, a line was not acknowledged; said again later, it was"

kill -TERM $two_pid
wait $two_pid || die "server two ended with status $?: $(cat "$work/two.log")"
echo "all checks passed"

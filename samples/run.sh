#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# run.sh TEST FOLDER: runs the samples in FOLDER as a user would, and checks what they say.
set -u
test=$1
cd "$2" || exit 1
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill -KILL $server 2>/dev/null; rm -rf "$work"' EXIT

die() {
  echo "FAILED: $*" >&2
  exit 1
}

# start_server [OPTIONS]: starts $program, sets $server and $port.
program=echo_server
start_server() {
  mkfifo "$work/said"
  ./$program --port 0 "$@" >"$work/said" 2>"$work/server-errors" &
  server=$!
  read -r line <"$work/said" || die "the server said nothing: $(cat "$work/server-errors")"
  [[ $line =~ ^listening\ on\ (.*):([0-9]+)$ ]] || die "first line of the server: $line"
  port=${BASH_REMATCH[2]}
}

# stop_server: SIGTERM, and status 0.
stop_server() {
  kill -TERM $server
  wait $server
  status=$?
  server=
  [ $status = 0 ] || die "the server ended with status $status"
  [ ! -s "$work/server-errors" ] || die "the server complained: $(cat "$work/server-errors")"
}

# refused STATUS PATTERN COMMAND...: COMMAND ends with STATUS, and one line like PATTERN on stderr.
refused() {
  local expected=$1 pattern=$2
  shift 2
  timeout 20 "$@" >"$work/out" 2>"$work/err" </dev/null
  local status=$?
  [ $status = "$expected" ] || die "$*: status $status instead of $expected, $(cat "$work/err")"
  [ "$(wc -l <"$work/err")" = 1 ] || die "$*: not one line: $(cat "$work/err")"
  grep -qE -- "^$(basename "$1"): $pattern" "$work/err" || die "$*: said $(cat "$work/err")"
}

case $test in
hello)
  start_server
  [ "$(timeout 20 ./hello 127.0.0.1 $port)" = hello ] || die "hello got no answer"
  [ "$(timeout 20 ./hello localhost $port)" = hello ] || die "hello got no answer by name"
  stop_server
  ;;
echo)
  for host in 127.0.0.1 ::1; do
    rm -f "$work/said"
    start_server --host $host
    head -c 16000000 /dev/urandom >"$work/sent"
    timeout 60 ./echo_client $host $port <"$work/sent" >"$work/received" || die "echo_client failed"
    cmp "$work/sent" "$work/received" || die "file: not what was sent"
    cat "$work/sent" | timeout 60 ./echo_client $host $port | cmp - "$work/sent" || die "pipe"
    timeout 60 ./echo_client $host $port </dev/null | cmp - /dev/null || die "nothing in, nothing out"
    timeout 60 ./echo_check $host $port 100 8 | grep -q "every byte the same" || die "echo_check"
    # A client that is being served when the server is told to end is served to its end.
    mkfifo "$work/slow"
    ./echo_client $host $port <"$work/slow" >"$work/slow-out" &
    client=$!
    exec 7>"$work/slow"
    echo before >&7
    until [ -s "$work/slow-out" ]; do read -rt 0.01 <> <(:); done
    kill -TERM $server
    until ! (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; do :; done
    echo after >&7
    exec 7>&-
    wait $client || die "the client was not served to its end"
    [ "$(cat "$work/slow-out")" = $'before\nafter' ] || die "lost while draining: $(cat "$work/slow-out")"
    wait $server || die "the server did not end in order"
    server=
    rm -f "$work/slow" "$work/slow-out"
  done
  # Nobody reads what the client prints.
  rm -f "$work/said"
  start_server
  timeout 20 ./echo_client 127.0.0.1 $port <"$work/sent" 2>"$work/err" | head -c 1 >/dev/null
  [ "${PIPESTATUS[0]}" = 1 ] || die "a broken pipe is status 1"
  grep -q "^echo_client: .*Broken pipe" "$work/err" || die "broken pipe: $(cat "$work/err")"
  kill -TERM $server
  wait $server || die "status of the server"
  server=
  ;;
usage)
  refused 2 'unknown option --prot, usage: ' ./echo_server --prot 7
  refused 2 'unknown option extra, usage: ' ./echo_server extra
  refused 2 '--port needs a value' ./echo_server --port
  refused 2 '--port "70000": not a port from 0 to 65535' ./echo_server --port 70000
  refused 2 '--port "abc": not a port from 0 to 65535' ./echo_server --port abc
  refused 2 '--port "-1": not a port' ./echo_server --port -1
  refused 2 '--port "": not a port' ./echo_server --port ''
  refused 2 '--host "300.1.1.1": not an address' ./echo_server --host 300.1.1.1
  refused 2 '--host "example": not an address' ./echo_server --host example
  refused 2 'usage: echo_client HOST PORT' ./echo_client
  refused 2 'usage: echo_client HOST PORT' ./echo_client a b c
  refused 2 'usage: hello HOST PORT' ./hello
  refused 2 'usage: echo_check HOST PORT' ./echo_check
  refused 2 '0 is not a number from 1 to 10000' ./echo_check 127.0.0.1 7 0
  refused 2 'x is not a number from 1 to 10000' ./echo_check 127.0.0.1 7 1 x
  ;;
errors)
  start_server
  refused 1 "127.0.0.1:$port: Address already in use" ./echo_server --port $port
  refused 1 '192.0.2.1:7000: Cannot assign requested address' ./echo_server --host 192.0.2.1
  stop_server
  # Nobody listens there any more.
  refused 1 "cannot connect to 127.0.0.1:$port: Connection refused" ./echo_client 127.0.0.1 $port
  refused 1 "cannot connect to localhost:$port: .*127.0.0.1:$port: Connection refused" \
    ./echo_client localhost $port
  refused 1 "cannot connect to \[::1\]:$port: Connection refused" ./hello ::1 $port
  refused 1 'nobody.invalid: (no such host|the name server)' ./echo_client nobody.invalid 7
  refused 1 '"70000": not a port from 0 to 65535' ./echo_client 127.0.0.1 70000
  refused 1 '"abc!": (not|neither) a port' ./echo_client 127.0.0.1 'abc!'
  refused 1 "cannot connect to 127.0.0.1:$port: .*Connection refused" ./echo_check 127.0.0.1 $port 1
  # Ctrl-C while nothing happens ends a server at once.
  rm -f "$work/said"
  start_server
  kill -INT $server
  wait $server || die "SIGINT: status $?"
  server=
  ;;
local)
  head -c 4000000 /dev/urandom >"$work/sent"
  for at in "$work/socket" "@cosock-sample-$$"; do
    rm -f "$work/said" && mkfifo "$work/said"
    ./local_echo_server "$at" >"$work/said" 2>"$work/server-errors" &
    server=$!
    exec 8<"$work/said"
    read -r line <&8 || die "the server said nothing: $(cat "$work/server-errors")"
    [ "$line" = "listening on $at" ] || die "first line of the server: $line"
    timeout 60 ./local_echo_client "$at" <"$work/sent" >"$work/received" || die "local_echo_client"
    cmp "$work/sent" "$work/received" || die "not what was sent"
    cat "$work/sent" | timeout 60 ./local_echo_client "$at" | cmp - "$work/sent" || die "pipe"
    refused 1 "$at: Address already in use" ./local_echo_server "$at"
    # A server that was killed leaves its file, and the next one replaces it.
    kill -KILL $server
    wait $server 2>/dev/null
    exec 8<&-
    refused 1 "$at: Connection refused" ./local_echo_client "$at"
    ./local_echo_server "$at" >"$work/said" 2>"$work/server-errors" &
    server=$!
    exec 8<"$work/said"
    read -r line <&8 || die "no second server: $(cat "$work/server-errors")"
    timeout 60 ./local_echo_client "$at" </dev/null | cmp - /dev/null || die "nothing in, nothing out"
    stop_server
    grep -q "^process [0-9]* of user $(id -u) has connected$" <&8 || die "who has connected?"
    exec 8<&-
    [ ! -e "$work/socket" ] || die "the file of the server is still there"
  done
  refused 1 "$work/none: No such file or directory" ./local_echo_client "$work/none"
  echo text >"$work/file"
  refused 1 "$work/file: there is a file that is no socket: Address" ./local_echo_server "$work/file"
  [ "$(cat "$work/file")" = text ] || die "a file was replaced"
  refused 2 'usage: local_echo_server PATH' ./local_echo_server
  refused 2 'usage: local_echo_client PATH' ./local_echo_client a b
  long=$(printf '%0108d' 0)
  refused 2 "\"$long\": the path of a local socket has 107 bytes at most, this one has 108" \
    ./local_echo_server "$long"
  refused 2 '"": the path of a local socket is not empty' ./local_echo_client ''
  ;;
descriptor_passing)
  head -c 1000000 /dev/urandom >"$work/file"
  chmod 600 "$work/file"
  timeout 20 ./descriptor_passing "$work/file" >"$work/out" 2>"$work/err" || die "$(cat "$work/err")"
  cmp "$work/file" "$work/out" || die "not the file"
  if [ "$(id -u)" = 0 ]; then
    grep -q "^the child may not open $work/file: Permission denied$" "$work/err" ||
      die "the child could have opened it: $(cat "$work/err")"
  fi
  refused 1 "$work/none: No such file" ./descriptor_passing "$work/none"
  refused 2 'usage: descriptor_passing FILE' ./descriptor_passing
  ;;
udp)
  program=udp_echo_server
  for host in 127.0.0.1 ::1 0.0.0.0; do
    rm -f "$work/said"
    start_server --host $host
    to=${host/0.0.0.0/127.0.0.2}
    seq 1000 >"$work/sent"
    timeout 60 ./udp_echo_client $to $port <"$work/sent" >"$work/received" || die "udp_echo_client"
    cmp "$work/sent" "$work/received" || die "not what was sent"
    refused 1 ".*:$port: Address already in use" ./udp_echo_server --host $host --port $port
    stop_server
  done
  echo anybody >"$work/line"
  timeout 20 ./udp_echo_client 127.0.0.1 $port <"$work/line" 2>"$work/err" && die "nobody listens"
  grep -q '^udp_echo_client: Connection refused$' "$work/err" || die "said $(cat "$work/err")"
  refused 2 'usage: udp_echo_client HOST PORT' ./udp_echo_client
  refused 2 '--port "70000": not a port' ./udp_echo_server --port 70000
  ;;
line)
  program=line_server
  start_server
  ask() { # what to say, what to hear
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf "$1" >&4
    heard=$(timeout 20 cat <&4)
    exec 4<&-
    [ "$heard" = "$(printf "$2")" ] || die "said $1, heard $heard"
  }
  ask 'set a 1 2\r\nget a\nget b\ndelete a\nget a\nquit\n' 'ok\nvalue 1 2\nnone\nok\nnone'
  ask 'set k v\nfly\nfly k\nquit\n' \
    'ok\nerror: set KEY VALUE, get KEY, delete KEY, or quit\nerror: no such command'
  ask 'get k\nquit\n' 'value v'
  ask "$(printf '%01001d' 0)"'\n' 'error: the line is too long'
  ask "$(printf '%02000d' 0)" 'error: the line is too long'
  stop_server
  ;;
proxy)
  start_server
  target=$port
  echo_server=$server
  head -c 20000000 /dev/urandom >"$work/sent"
  server=
  for listen in 127.0.0.1:0 "$work/p1" "@cosock-proxy-$$"; do
    mkfifo "$work/p"
    ./proxy "$listen" "127.0.0.1:$target" >"$work/p" 2>"$work/server-errors" &
    server=$!
    read -r line <"$work/p" || die "the proxy said nothing: $(cat "$work/server-errors")"
    rm "$work/p"
    at=${line#listening on }
    if [ "$listen" = 127.0.0.1:0 ]; then
      timeout 60 ./echo_client 127.0.0.1 "${at##*:}" <"$work/sent" | cmp - "$work/sent" || die "tcp"
      through=$at
    else
      timeout 60 ./local_echo_client "$at" <"$work/sent" | cmp - "$work/sent" || die "local"
      # And from TCP to the local one.
      mkfifo "$work/q"
      ./proxy 127.0.0.1:0 "$at" >"$work/q" &
      second=$!
      read -r line <"$work/q"
      rm "$work/q"
      timeout 60 ./echo_client 127.0.0.1 "${line##*:}" <"$work/sent" | cmp - "$work/sent" ||
        die "tcp to local"
      kill $second
      wait $second || die "the second proxy ended with status $?"
    fi
    stop_server
  done
  kill $echo_server
  wait $echo_server || die "the echo server ended with status $?"
  # Nobody is behind it any more: the client's connection ends, the proxy goes on.
  ./proxy "$work/p1" "127.0.0.1:$target" >"$work/out" 2>"$work/server-errors" &
  server=$!
  until [ -s "$work/out" ]; do read -rt 0.01 <> <(:); done
  timeout 20 ./local_echo_client "$work/p1" </dev/null >/dev/null 2>&1
  timeout 20 ./local_echo_client "$work/p1" </dev/null >/dev/null 2>&1
  kill $server
  wait $server || die "the proxy ended with status $?"
  server=
  grep -q "^proxy: .*127.0.0.1:$target: Connection refused" "$work/server-errors" ||
    die "said $(cat "$work/server-errors")"
  refused 2 'usage: proxy LISTEN TARGET' ./proxy
  refused 2 '"70000": not a port' ./proxy localhost:70000 x
  refused 1 '"localhost:7000": not an address' ./proxy localhost:7000 x
  ;;
http)
  program=beast_http
  start_server
  [ "$(timeout 20 ./beast_http get 127.0.0.1 $port /some/where)" = $'200\nGET /some/where' ] ||
    die "the client got no answer"
  [ "$(timeout 20 ./beast_http get localhost $port /)" = $'200\nGET /' ] || die "by name"
  if command -v curl >/dev/null; then
    curl() { timeout 60 env curl --noproxy '*' -sS "$@"; }
    at=http://127.0.0.1:$port
    [ "$(curl $at/a $at/b)" = $'GET /a\nGET /b' ] || die "two on one connection"
    [ "$(curl --http1.0 $at/old)" = "GET /old" ] || die "HTTP/1.0"
    head -c 500000 /dev/zero | tr '\0' x >"$work/sent"
    curl --data-binary @"$work/sent" $at/post | tail -n 1 | cmp - "$work/sent" || die "a large one"
    [ "$(curl -o /dev/null -w '%{http_code}' -X DELETE $at/)" = 405 ] || die "DELETE"
  fi
  stop_server
  refused 1 "cannot connect to 127.0.0.1:$port: Connection refused" \
    ./beast_http get 127.0.0.1 $port /
  refused 2 'usage: beast_http get HOST PORT TARGET' ./beast_http get
  refused 2 'unknown option set, usage: ' ./beast_http set
  ;;
tls)
  program=tls_lines
  command -v openssl >/dev/null || { echo "skipped: needs openssl"; exit 77; }
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
    -days 1 -keyout "$work/key" -out "$work/certificate" 2>"$work/err" || die "$(cat "$work/err")"
  refused 2 'usage: tls_lines CERTIFICATE KEY' ./tls_lines
  refused 2 'use_certificate_chain_file: ' ./tls_lines "$work/none" "$work/key"
  mkfifo "$work/said"
  ./tls_lines "$work/certificate" "$work/key" --port 0 >"$work/said" 2>"$work/server-errors" &
  server=$!
  read -r line <"$work/said" || die "the server said nothing: $(cat "$work/server-errors")"
  at=${line#listening on }
  for version in -tls1_2 -tls1_3; do
    seq 3000 >"$work/lines"
    { cat "$work/lines"; echo quit; } | timeout 60 openssl s_client -quiet -CAfile \
      "$work/certificate" -verify_return_error $version -connect "$at" >"$work/heard" \
      2>"$work/err" || die "s_client: $(cat "$work/err")"
    cmp "$work/lines" "$work/heard" || die "not what was sent"
  done
  stop_server
  ;;
multicast)
  refused 2 'usage: multicast_chat GROUP PORT' ./multicast_chat
  refused 2 '127.0.0.1 is not the address of a multicast group' ./multicast_chat 127.0.0.1 7007
  refused 2 '"70000": not a port' ./multicast_chat 239.7.7.7 70000
  refused 2 '"nosuch0": No such device' ./multicast_chat 239.7.7.7 7007 nosuch0
  # On loopback, in a network of its own.
  unshare -n true 2>/dev/null || { echo "skipped: needs root, for a network of its own"; exit 77; }
  unshare -n bash -c '
    ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo || exit 1
    mkfifo "$0/one"
    ./multicast_chat 239.7.7.7 7007 lo <"$0/one" >"$0/heard-one" &
    exec 7>"$0/one"
    echo "I am one" >&7
    until grep -q one "$0/heard-one"; do read -rt 0.01 <> <(:); done
    echo "I am two" | ./multicast_chat 239.7.7.7 7007 lo >"$0/heard-two"
    exec 7>&-
    wait
  ' "$work" || die "the network could not be made"
  grep -q ": I am two$" "$work/heard-one" || die "one heard: $(cat "$work/heard-one")"
  grep -q ": I am two$" "$work/heard-two" || die "two heard: $(cat "$work/heard-two")"
  ;;
readme)
  [ "$(timeout 20 ./readme)" = hello ] || die "the sample of the README does not print hello"
  ;;
*)
  die "no test $test"
  ;;
esac

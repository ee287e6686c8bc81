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
declare -A pid says=()
trap 'kill -KILL $server ${pid[@]} 2>/dev/null; rm -rf "$work"' EXIT

die() {
  echo "FAILED: $*" >&2
  exit 1
}

# start_server [OPTIONS]: starts $program, sets $server and $port.
program=echo_server
start_server() {
  mkfifo "$work/said"
  : >"$work/server-errors"
  # A shell has its background jobs ignore SIGINT, and programs leave that as it is.
  env --default-signal=INT ./$program --port 0 "$@" >"$work/said" 2>>"$work/server-errors" &
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

# join NAME: a chat_client, whose input is ${says[NAME]} and whose output is the file $work/NAME.
join() {
  rm -f "$work/$1-says" && mkfifo "$work/$1-says" && : >"$work/$1"
  ./chat_client 127.0.0.1 $port "$1" <"$work/$1-says" >"$work/$1" 2>"$work/$1-errors" &
  pid[$1]=$!
  exec {says[$1]}>"$work/$1-says"
}
say() { # NAME LINE
  echo "$2" >&${says[$1]}
}
hears() { # NAME LINE: waits until it does
  local end=$((SECONDS + 60))
  until grep -qFx -- "$2" "$work/$1"; do
    [ $SECONDS -lt $end ] || die "$1 does not hear $2, but: $(cut -c 1-99 "$work/$1" | tail)"
    read -rt 0.01 <> <(:)
  done
}
counts() { # NAME LINE COUNT: waits until NAME has received LINE so often
  local end=$((SECONDS + 60))
  until [ "$(grep -cFx -- "$2" "$work/$1")" = $3 ]; do
    [ $SECONDS -lt $end ] || die "$1 has not received $3 times $2, but: $(cut -c 1-99 "$work/$1" | tail)"
    read -rt 0.01 <> <(:)
  done
}
heard_not() { # NAME TEXT
  ! grep -qF -- "$2" "$work/$1" || die "$1 has heard $2"
}
# leaves NAME STATUS: waits for its end.
leaves() {
  local status=0
  wait ${pid[$1]} || status=$?
  unset "pid[$1]"
  exec {says[$1]}>&-
  [ $status = $2 ] || die "$1 left with status $status, $(cat "$work/$1-errors")"
}
# flood NAME LISTENER: says more than a connection holds, in parts; each waits until the last was heard.
flood() {
  local long part
  long=$(printf '%04000d' 0)
  for part in {1..20}; do
    for _ in {1..30}; do say $1 $long; done
    say $1 "part $part"
    hears $2 "$1: part $part"
    hears $1 "$1: part $part"
  done
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
  # A client that is silent is ended; one that says something now and then is not.
  rm -f "$work/said"
  start_server --idle 0.5
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  for i in {1..6}; do
    echo $i >&4
    read -rt 20 line <&4 && [ "$line" = $i ] || die "a client that speaks was ended: $line"
    read -rt 0.05 <> <(:)
  done
  [ -z "$(timeout 20 cat <&4)" ] || die "it heard something"
  exec 4<&-
  # Nor is one that takes nothing of what comes back kept.
  { timeout 20 cat /dev/zero; } 2>/dev/null >"/dev/tcp/127.0.0.1/$port"
  [ $? != 124 ] || die "a client that takes nothing is kept"
  kill -TERM $server
  wait $server || die "status of the server"
  server=
  grep -q '^echo_server: the time limit has passed' "$work/server-errors" ||
    die "the server said $(cat "$work/server-errors")"
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
  refused 2 'usage: echo_check HOST PORT' ./echo_check a b c d e
  refused 2 '"0" is not a number from 1 to 10000' ./echo_check 127.0.0.1 7 0
  refused 2 '"x" is not a number from 1 to 10000, usage: .*MEBIBYTES' ./echo_check 127.0.0.1 7 1 x
  refused 2 '--host "example": not an address such as 127.0.0.1 or ::1, usage: ' \
    ./echo_server --host example
  refused 2 'unknown option .*, usage: .* \[--idle SECONDS, default 60\]' ./echo_server --idel 7
  for bad in 0 -1 0.001 86401 x 5s nan inf 1e9 '' ' 5'; do
    refused 2 "--idle \"$bad\": not a number of seconds from 0.01 to 86400" \
      ./echo_server --idle "$bad"
  done
  refused 2 '--idle "x": not a number of seconds' ./line_server --idle x
  refused 2 '--idle "x": not a number of seconds' ./local_echo_server /nowhere --idle x
  refused 2 '--idle needs a value' ./local_echo_server /nowhere --idle
  for client in echo_client echo_check udp_echo_client 'chat_client NAME'; do
    set -- $client
    for bad in 70000 'abc!' 7O00 '' ' 7' -7; do
      refused 2 "\"$bad\": not a port from 0 to 65535, nor a known service" \
        ./$1 127.0.0.1 "$bad" ${2:-}
    done
  done
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
  refused 1 "cannot connect: 127.0.0.1:$port: Connection refused" ./echo_check 127.0.0.1 $port 1
  refused 2 '"0x50": [^"]*$' ./echo_check 127.0.0.1 0x50
  # Ctrl-C while nothing happens ends a server at once.
  rm -f "$work/said"
  start_server
  kill -INT $server
  wait $server || die "SIGINT: status $?"
  server=
  # A job in the background of a shell goes on.
  rm -f "$work/said"
  ./echo_server --port 0 >"$work/out" 2>"$work/server-errors" &
  server=$!
  until [ -s "$work/out" ]; do read -rt 0.01 <> <(:); done
  kill -INT $server
  port=$(sed 's/.*://' "$work/out")
  [ "$(echo on | timeout 20 ./echo_client 127.0.0.1 "$port")" = on ] || die "SIGINT ended a job"
  stop_server
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
  mkfifo "$work/quick"
  ./local_echo_server "$work/socket" --idle 0.1 >"$work/quick" 2>"$work/server-errors" &
  server=$!
  exec 8<"$work/quick"
  read -r line <&8 || die "no third server: $(cat "$work/server-errors")"
  mkfifo "$work/nothing"
  timeout 20 ./local_echo_client "$work/socket" <"$work/nothing" >/dev/null &
  client=$!
  exec 7>"$work/nothing"
  end=$((SECONDS + 60))
  until grep -q '^local_echo_server: the time limit has passed' "$work/server-errors"; do
    [ $SECONDS -lt $end ] || die "a client that is silent is kept"
    read -rt 0.01 <> <(:)
  done
  exec 7>&-
  wait $client
  : >"$work/server-errors"
  stop_server
  exec 8<&-
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
    grep -q "^the child cannot open $work/file: Permission denied$" "$work/err" ||
      die "the child could have opened it: $(cat "$work/err")"
  fi
  refused 1 "$work/none: No such file" ./descriptor_passing "$work/none"
  refused 1 "$work: Is a directory" ./descriptor_passing "$work"
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
  # Each question is answered late, twice, and together with the next one.
  python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
before = []
while True:
    question, peer = s.recvfrom(65536)
    if question.endswith(b"lost") and question not in before:
        before.append(question)
        continue
    for each in before + [b"", b"1", question[1:], question, question]:
        s.sendto(each, peer)
    before = [question]
' >"$work/late" &
  server=$!
  until [ -s "$work/late" ]; do read -rt 0.01 <> <(:); done
  printf '%s\n' one two '' lost three 3 "  x" >"$work/sent"
  timeout 60 ./udp_echo_client 127.0.0.1 "$(cat "$work/late")" <"$work/sent" >"$work/received" ||
    die "late answers"
  cmp "$work/sent" "$work/received" || die "late answers: $(cat "$work/received")"
  kill $server
  wait $server 2>/dev/null
  server=
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
  ask 'set a 1 2\r\nget a\nget b\ndelete a\nget a\nquit\n' 'ok\nvalue 1 2\nnot found\nok\nnot found'
  ask 'set k v\nfly\nfly k\nquit\n' \
    'ok\nerror: the commands are set KEY VALUE, get KEY, delete KEY, quit\nerror: unknown command'
  ask 'get k\nquit\n' 'value v'
  ask "$(printf '%01001d' 0)"'\n' 'error: the line is too long'
  ask "$(printf '%02000d' 0)" 'error: the line is too long'
  stop_server
  rm -f "$work/said"
  start_server --idle 0.5
  ask 'set k v\n' 'ok\nerror: the time limit has passed'
  ask 'set k' 'error: the time limit has passed'
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
  refused 2 '"70000": not a port' ./proxy localhost:70000 /x
  refused 2 '"127.0.0.1": neither HOST:PORT, a PATH with a /, nor @NAME' ./proxy 127.0.0.1 /x
  refused 2 '"localhost:7000": not an address' ./proxy localhost:7000 /x
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
  refused 2 'usage: .* beast_http get HOST PORT TARGET' ./beast_http get
  refused 2 'usage: .* beast_http get HOST PORT TARGET' ./beast_http set
  refused 2 'unknown option --set, usage: ' ./beast_http --set
  ;;
websocket)
  program=websocket_chat
  says_nothing_more() { # NAME: ends its input, and then it leaves in order
    exec {says[$1]}>&-
    wait ${pid[$1]} || die "$1 left with status $?, $(cat "$work/$1-errors")"
    unset "pid[$1]"
  }
  start_server
  for who in ann ben; do  # before the pipes are opened, which they would inherit
    mkfifo "$work/$who-says" && : >"$work/$who"
    ./websocket_chat join 127.0.0.1 $port <"$work/$who-says" >"$work/$who" 2>"$work/$who-errors" &
    pid[$who]=$!
  done
  number=0
  for who in ann ben; do
    exec {says[$who]}>"$work/$who-says"
    say $who "I am $who"
    hears $who "$((++number)): I am $who"
  done
  hears ann '2: I am ben'
  say ann hello
  hears ben '1: hello'
  says_nothing_more ann
  say ben 'anybody?'
  hears ben '2: anybody?'
  # A client that speaks another protocol ends its own connection only.
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&4
  timeout 20 cat <&4 | grep -q '^HTTP/1.1 400 ' || die "no 400"
  exec 4<&-
  say ben 'still here'
  hears ben '2: still here'
  says_nothing_more ben
  kill -TERM $server
  wait $server || die "status of the server: $?"
  server=
  refused 1 "cannot connect to 127.0.0.1:$port: Connection refused" \
    ./websocket_chat join 127.0.0.1 $port
  refused 2 'usage: .* websocket_chat join HOST PORT' ./websocket_chat join
  ;;
tls)
  program=tls_lines
  command -v openssl >/dev/null || { echo "skipped: needs openssl"; exit 77; }
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
    -days 1 -keyout "$work/key" -out "$work/certificate" 2>"$work/err" || die "$(cat "$work/err")"
  refused 2 'usage: tls_lines CERTIFICATE KEY' ./tls_lines
  refused 1 "$work/none: No such file" ./tls_lines "$work/none" "$work/key"
  refused 1 "$work/none: No such file" ./tls_lines "$work/certificate" "$work/none"
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
chat)
  program=chat_server
  for loops in 1 2; do
    rm -f "$work/said"
    start_server --loops $loops
    # Everybody enters the lobby: the first words are heard.
    join alice
    hears alice '* welcome, alice; commands: /join ROOM, /leave, /who, /quit'
    hears alice '* in lobby: alice'
    hears alice '* alice has joined lobby'
    join bob
    hears bob '* in lobby: alice bob'
    hears alice '* bob has joined lobby'
    say alice 'good morning'
    hears bob 'alice: good morning'
    say bob 'hello'
    hears alice 'bob: hello'
    # Names are unique.
    echo /quit | timeout 20 ./chat_client 127.0.0.1 $port alice >"$work/out" || die "status $?"
    grep -qFx '! the name alice is taken' "$work/out" || die "taken: $(cat "$work/out")"
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf 'two words\n\n%033d\neve\n/fly\n/join two words\n/leave\n/join lobby\n/quit\n' 0 >&4
    heard=$(timeout 20 cat <&4 | grep -vFx '* eve has joined lobby')
    exec 4<&-
    cat >"$work/expected" <<'END'
! a name is 1 to 32 characters without spaces
! a name is 1 to 32 characters without spaces
! a name is 1 to 32 characters without spaces
* welcome, eve; commands: /join ROOM, /leave, /who, /quit
* in lobby: alice bob eve
! unknown command; commands: /join ROOM, /leave, /who, /quit
! unknown command; commands: /join ROOM, /leave, /who, /quit
! you are already in lobby
! you are already in lobby
END
    [ "$heard" = "$(cat "$work/expected")" ] || die "names: $heard"
    hears alice '* eve has left the chat'
    # Rooms.
    say bob '/join tea'
    hears alice '* bob has left lobby'
    hears bob '* in tea: bob'
    hears bob '* bob has joined tea'
    say bob 'is anybody here?'
    hears bob 'bob: is anybody here?'
    say alice 'goodbye bob'
    hears alice 'alice: goodbye bob'
    say alice '/who'
    counts alice '* in lobby: alice' 2
    say bob '/leave'
    counts bob '* in lobby: alice bob' 2
    counts alice '* bob has joined lobby' 2
    say alice '/who'
    hears alice '* in lobby: alice bob'
    heard_not bob 'goodbye'
    heard_not bob '* bob has left'
    heard_not alice 'anybody'
    # Invalid lines.
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    long=$(printf '%04096d' 0)
    printf 'eve\nhi\rbob: I am bob\033[2J\n%s\n%s0\n%02000000d\n/quit\n' $long $long 0 >&4
    heard=$(timeout 20 cat <&4)
    exec 4<&-
    [ "$(grep -cFx '! line too long: the limit is 4096 bytes' <<<"$heard")" = 2 ] ||
      die "too long: $heard"
    hears alice 'eve: hi bob: I am bob [2J'
    hears alice "eve: $long"
    counts alice '* eve has left the chat' 2
    printf '%04097d' 0 >"$work/line"
    timeout 20 ./chat_client 127.0.0.1 $port dan <"$work/line" >"$work/out" 2>"$work/err" && die "4097"
    grep -q '^chat_client: the line is too long$' "$work/err" || die "4097: $(cat "$work/err")"
    # A member that does not read is disconnected, and delays nobody.
    join carol
    hears carol '* carol has joined lobby'
    kill -STOP ${pid[carol]}
    flood alice bob
    heard_not carol 'part 20'
    kill -CONT ${pid[carol]}
    hears carol '! disconnected: too slow'
    hears bob '* carol was disconnected: too slow'
    leaves carol 1
    heard_not carol 'part 20'
    grep -qx 'chat_client: the server closed the connection' "$work/carol-errors" || die "carol"
    # The client of dan ended with unread lines, which can reset its connection.
    grep -q '^chat_server: the peer takes too little' "$work/server-errors" &&
      [ "$(grep -vcE ': (Connection reset by peer|Broken pipe)$' "$work/server-errors")" = 1 ] ||
      die "the server said $(cat "$work/server-errors")"
    : >"$work/server-errors"
    # Many members, on all loops.
    for i in {1..12}; do
      join m$i
      say m$i '/join party'
      hears m1 "* m$i has joined party"
    done
    for i in {1..12}; do say m$i "I am $i"; done
    for i in {1..12}; do for k in {1..12}; do hears m$i "m$k: I am $k"; done; done
    say m1 /who
    hears m1 '* in party: m1 m10 m11 m12 m2 m3 m4 m5 m6 m7 m8 m9'
    say m12 /quit
    leaves m12 0
    hears m1 '* m12 has left the chat'
    # The shutdown.
    stop_server
    for name in alice bob m{1..11}; do
      hears $name '* the server is shutting down'
      leaves $name 1
    done
  done
  rm -f "$work/said"
  start_server --loops 0
  join alice
  hears alice '* alice has joined lobby'
  stop_server
  # A silent member receives a ping, and is disconnected; chat_client answers the ping.
  rm -f "$work/said"
  start_server --idle 0.7
  join alice
  hears alice '* alice has joined lobby'
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  printf 'eve\n' >&4
  cat >"$work/expected" <<'END'
* welcome, eve; commands: /join ROOM, /leave, /who, /quit
* in lobby: alice eve
* eve has joined lobby
/ping
! disconnected: no answer to /ping
END
  [ "$(timeout 20 cat <&4)" = "$(cat "$work/expected")" ] || die "silent"
  exec 4<&-
  hears alice '* eve has left the chat'
  # Any line is an answer to a ping. A line that never ends is too long.
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  read -rt 20 line <&4
  [ "$line" = /ping ] || die "no ping: $line"
  printf '/pong\n' >&4
  read -rt 20 line <&4
  [ "$line" = /ping ] || die "no second ping: $line"
  printf '%05000d' 0 >&4
  [ "$(timeout 20 cat <&4)" = '! line too long: the limit is 4096 bytes' ] ||
    die "a line without an end"
  exec 4<&-
  say alice 'still here'
  hears alice 'alice: still here'
  heard_not alice '/ping'
  say alice /quit
  leaves alice 0
  grep -q '^chat_server: the time limit has passed' "$work/server-errors" &&
    [ "$(wc -l <"$work/server-errors")" = 1 ] || die "said $(cat "$work/server-errors")"
  : >"$work/server-errors"
  stop_server
  refused 2 'unknown option --lops, usage: .* \[--idle SECONDS, default 60\]' ./chat_server --lops 7
  refused 2 'unknown option --lops, usage: \[--host ADDR\] \[--port PORT\] \[--loops N\]' \
    ./chat_server --lops 7
  refused 2 '--loops needs a value' ./chat_server --loops
  refused 2 '--loops "65": not a number from 0 to 64' ./chat_server --loops 65
  refused 2 '--loops "2x": not a number' ./chat_server --loops 2x
  refused 2 '--loops "": not a number' ./chat_server --loops ''
  refused 2 '--port "70000": not a port' ./chat_server --port 70000
  refused 2 '--host "example": not an address' ./chat_server --host example
  refused 2 'usage: chat_client HOST PORT NAME' ./chat_client 127.0.0.1 7000
  refused 2 'a name is 1 to 32 characters' ./chat_client 127.0.0.1 7000 'two words'
  refused 2 'a name is 1 to 32 characters without spaces: "two words"' \
    ./chat_client 127.0.0.1 7000 'two words'
  refused 1 "cannot connect to 127.0.0.1:$port: Connection refused" ./chat_client 127.0.0.1 $port alice
  ;;
fan_out)
  mkfifo "$work/said"
  ./fan_out --port 0 --feed-port 0 >"$work/said" 2>"$work/server-errors" &
  server=$!
  exec 8<"$work/said"
  read -r line <&8 && read -r feed <&8 || die "the server said nothing: $(cat "$work/server-errors")"
  port=${line##*:}
  for who in fast slow; do
    cat <"/dev/tcp/127.0.0.1/$port" >"$work/$who" &
    pid[$who]=$!
  done
  exec 5<>"/dev/tcp/127.0.0.1/${feed##*:}"
  until [ -s "$work/fast" ] && [ -s "$work/slow" ]; do
    echo first >&5
    read -rt 0.01 <> <(:)
  done
  echo begin >&5
  hears fast begin
  hears slow begin
  # One who does not read misses something, and is told how much; the others do not notice.
  kill -STOP ${pid[slow]}
  long=$(printf '%0500d' 0)
  for _ in {1..20000}; do echo $long; done >&5
  printf 'a\033b\nend\n' >&5
  hears fast end
  heard_not slow end
  kill -CONT ${pid[slow]}
  hears slow end
  hears fast 'a b'
  for who in fast slow; do
    all=$(sed '1,/^begin$/d' "$work/$who" | awk '/^! missed/ {n += $3; next} {++n} END {print n}')
    [ "$all" = 20002 ] || die "$who got, or missed, $all lines"
  done
  grep -q '^! missed' "$work/slow" || die "nothing was missed"
  kill -TERM $server
  for who in fast slow; do
    wait ${pid[$who]} || die "$who ended with status $?"
    unset "pid[$who]"
  done
  wait $server || die "the server ended with status $?"
  server=
  [ ! -s "$work/server-errors" ] || die "the server complained: $(cat "$work/server-errors")"
  exec 5<&- 8<&-
  refused 2 'unknown option --feed, usage: \[--host ADDR\] \[--port PORT\] \[--feed-port PORT\]' \
    ./fan_out --feed 7
  refused 2 '--feed-port needs a value' ./fan_out --feed-port
  refused 2 '--feed-port "70000": not a port' ./fan_out --feed-port 70000
  refused 2 '--port "x": not a port' ./fan_out --port x
  refused 2 '--host "x": not an address' ./fan_out --host x
  ;;
multicast)
  refused 2 'usage: multicast_chat GROUP PORT' ./multicast_chat
  refused 2 '127.0.0.1 is not the address of a multicast group' ./multicast_chat 127.0.0.1 7007
  refused 2 '"70000": not a port' ./multicast_chat 239.7.7.7 70000
  refused 2 '"nosuch0": No such device.*, usage: multicast_chat GROUP PORT .INTERFACE.' \
    ./multicast_chat 239.7.7.7 7007 nosuch0
  refused 2 '"ff02::7%nosuch0": not an address: there is no interface "nosuch0"' \
    ./multicast_chat ff02::7%nosuch0 7007
  refused 1 '.ff02::7%4711.:7007: No such device' ./multicast_chat ff02::7%4711 7007
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
  # Over IPv6, on the interface that the scope id of the group names.
  unshare -n bash -c '
    ip link add m0 type veth peer name m1 && ip -6 addr add fe80::7/64 dev m0 nodad &&
      ip link set m1 up && ip link set m0 up || exit 1
    until ip -6 route show table local | grep -q "^multicast ff00::/8 dev m0"; do
      read -rt 0.01 <> <(:)
    done
    echo six | ./multicast_chat ff02::7%m0 7007 >"$0/heard-six" 2>"$0/err"
  ' "$work" || die "over IPv6: $(cat "$work/err")"
  grep -q "%m0.*: six$" "$work/heard-six" || die "over IPv6: $(cat "$work/heard-six")"
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

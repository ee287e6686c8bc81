#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# run.sh TEST FOLDER: runs the samples in FOLDER as a user does, and checks their output.
set -u
test=$1
cd "$2" || exit 1
work=$(mktemp -d)
server=
declare -A pid inputs=()
trap 'kill -KILL $server ${pid[@]} 2>/dev/null; rm -rf "$work"' EXIT

die() {
  echo "FAILED: $*" >&2
  exit 1
}

# start_server [OPTIONS]: starts $program; sets $server to its process and $port to its port.
program=echo_server
start_server() {
  mkfifo "$work/server-output"
  : >"$work/server-errors"
  # In a script, background jobs ignore SIGINT, unless env restores the default.
  env --default-signal=INT ./$program --port 0 "$@" >"$work/server-output" 2>>"$work/server-errors" &
  server=$!
  read -r line <"$work/server-output" || die "no output of the server: $(cat "$work/server-errors")"
  [[ $line =~ ^listening\ on\ (.*):([0-9]+)$ ]] || die "first line of the server: $line"
  port=${BASH_REMATCH[2]}
}

# make_certificate: makes a key and a certificate for localhost in $work, signed by itself.
make_certificate() {
  command -v openssl >/dev/null || { echo "skipped: needs openssl"; exit 77; }
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -days 1 -keyout "$work/key" -out "$work/certificate" \
    2>"$work/err" || die "$(cat "$work/err")"
}

# start_tls_server ARGUMENTS...: starts $program, by default tls_echo_server, whose further output is
# read from $output.
start_tls_server() {
  [ $program != echo_server ] || program=tls_echo_server
  mkfifo "$work/server-output"
  : >"$work/server-errors"
  env --default-signal=INT ./$program "$@" --port 0 >"$work/server-output" 2>>"$work/server-errors" &
  server=$!
  exec {output}<"$work/server-output"
  read -r line <&"$output" || die "no output of the server: $(cat "$work/server-errors")"
  port=${line##*:}
}

# ask VERSION: sends lines to the TLS server and compares the answer.
ask() {
  seq 3000 >"$work/lines"
  : >"$work/received"
  # The input stays open until all is back.
  { cat "$work/lines"; until [ "$(tail -n 1 "$work/received")" = 3000 ]; do sleep 0.02; done; } | timeout 60 openssl s_client -quiet -no_ign_eof -CAfile \
    "$work/certificate" -verify_return_error "$1" -connect "127.0.0.1:$port" >"$work/received" \
    2>"$work/err" || return 1
  cmp "$work/lines" "$work/received"
}

# shown_serial: the serial number of the certificate that the TLS server shows.
shown_serial() {
  openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -serial
}

# stop_server: sends SIGTERM, and checks the status, 0, and that stderr is empty.
stop_server() {
  kill -TERM $server
  wait $server
  status=$?
  server=
  [ $status = 0 ] || die "the server ended with status $status"
  [ ! -s "$work/server-errors" ] || die "stderr of the server: $(cat "$work/server-errors")"
}

# refused STATUS PATTERN COMMAND...: COMMAND exits with STATUS, after one line on stderr that matches
# PATTERN.
refused() {
  local expected=$1 pattern=$2
  shift 2
  timeout 20 "$@" >"$work/out" 2>"$work/err" </dev/null
  local status=$?
  [ $status = "$expected" ] || die "$*: status $status instead of $expected, $(cat "$work/err")"
  [ "$(wc -l <"$work/err")" = 1 ] || die "$*: not one line: $(cat "$work/err")"
  grep -qE -- "^$(basename "$1"): $pattern" "$work/err" || die "$*: stderr is $(cat "$work/err")"
}

# join NAME: starts a chat_client; its input is ${inputs[NAME]}, its output the file $work/NAME.
join() {
  rm -f "$work/$1-input" && mkfifo "$work/$1-input" && : >"$work/$1"
  ./chat_client 127.0.0.1 $port "$1" <"$work/$1-input" >"$work/$1" 2>"$work/$1-errors" &
  pid[$1]=$!
  exec {inputs[$1]}>"$work/$1-input"
}
send_line() { # NAME LINE
  echo "$2" >&${inputs[$1]}
}
expect_line() { # NAME LINE: waits until NAME has received LINE
  local end=$((SECONDS + 60))
  until grep -qFx -- "$2" "$work/$1"; do
    [ $SECONDS -lt $end ] || die "$1 has not received $2, but: $(cut -c 1-99 "$work/$1" | tail)"
    read -rt 0.01 <> <(:)
  done
}
expect_count() { # NAME LINE COUNT: waits until NAME has received LINE COUNT times
  local end=$((SECONDS + 60))
  until [ "$(grep -cFx -- "$2" "$work/$1")" = $3 ]; do
    [ $SECONDS -lt $end ] || die "$1 has not received $3 times $2, but: $(cut -c 1-99 "$work/$1" | tail)"
    read -rt 0.01 <> <(:)
  done
}
expect_no_text() { # NAME TEXT: NAME has not received TEXT yet
  ! grep -qF -- "$2" "$work/$1" || die "$1 has received $2"
}
# expect_exit NAME STATUS: waits for the client to exit.
expect_exit() {
  local status=0
  wait ${pid[$1]} || status=$?
  unset "pid[$1]"
  exec {inputs[$1]}>&-
  [ $status = $2 ] || die "$1 exited with status $status, $(cat "$work/$1-errors")"
}
# flood NAME READER: sends more data than a connection can buffer, in parts. READER has received a
# part before the next is sent.
flood() {
  local long part
  long=$(printf '%04000d' 0)
  for part in {1..20}; do
    for _ in {1..30}; do send_line $1 $long; done
    send_line $1 "part $part"
    expect_line $2 "$1: part $part"
    expect_line $1 "$1: part $part"
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
    rm -f "$work/server-output"
    start_server --host $host
    head -c 16000000 /dev/urandom >"$work/sent"
    timeout 60 ./echo_client $host $port <"$work/sent" >"$work/received" || die "echo_client failed"
    cmp "$work/sent" "$work/received" || die "file: received other data than sent"
    cat "$work/sent" | timeout 60 ./echo_client $host $port | cmp - "$work/sent" || die "pipe"
    timeout 60 ./echo_client $host $port </dev/null | cmp - /dev/null || die "nothing in, nothing out"
    timeout 60 ./echo_check $host $port 100 8 | grep -q "every byte the same" || die "echo_check"
    # A server that is told to end serves the clients that are connected to their end.
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
    wait $client || die "the client failed during the shutdown"
    [ "$(cat "$work/slow-out")" = $'before\nafter' ] || die "lost: $(cat "$work/slow-out")"
    wait $server || die "status of the server: $?"
    server=
    rm -f "$work/slow" "$work/slow-out"
  done
  # The server disconnects a silent client, but not one that sends from time to time.
  rm -f "$work/server-output"
  start_server --idle 0.5
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  for i in {1..6}; do
    echo $i >&4
    read -rt 20 line <&4 && [ "$line" = $i ] || die "an active client was disconnected: $line"
    read -rt 0.05 <> <(:)
  done
  [ -z "$(timeout 20 cat <&4)" ] || die "the server sent something else"
  exec 4<&-
  # It disconnects a client that sends but does not receive.
  { timeout 20 cat /dev/zero; } 2>/dev/null >"/dev/tcp/127.0.0.1/$port"
  [ $? != 124 ] || die "a client that does not receive stays connected"
  kill -TERM $server
  wait $server || die "status of the server"
  server=
  grep -q '^echo_server: connection from 127.0.0.1:[0-9]*: the time limit of .* has passed' \
    "$work/server-errors" ||
    die "stderr of the server: $(cat "$work/server-errors")"
  # The output of the client is a broken pipe.
  rm -f "$work/server-output"
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
  # Nobody listens on the port now.
  refused 1 "cannot connect to 127.0.0.1:$port: Connection refused" ./echo_client 127.0.0.1 $port
  refused 1 "cannot connect to localhost:$port: .*127.0.0.1:$port: Connection refused" \
    ./echo_client localhost $port
  refused 1 "cannot connect to \[::1\]:$port: Connection refused" ./hello ::1 $port
  refused 1 'nobody.invalid: (no such host|the name server)' ./echo_client nobody.invalid 7
  refused 1 "cannot connect: 127.0.0.1:$port: Connection refused" ./echo_check 127.0.0.1 $port 1
  refused 2 '"0x50": [^"]*$' ./echo_check 127.0.0.1 0x50
  # Ctrl-C ends an idle server at once.
  rm -f "$work/server-output"
  start_server
  kill -INT $server
  wait $server || die "SIGINT: status $?"
  server=
  # Ctrl-C does not end a background job of a script.
  rm -f "$work/server-output"
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
  for path in "$work/socket" "@cosock-sample-$$"; do
    rm -f "$work/server-output" && mkfifo "$work/server-output"
    ./local_echo_server "$path" >"$work/server-output" 2>"$work/server-errors" &
    server=$!
    exec 8<"$work/server-output"
    read -r line <&8 || die "no output of the server: $(cat "$work/server-errors")"
    [ "$line" = "listening on $path" ] || die "first line of the server: $line"
    timeout 60 ./local_echo_client "$path" <"$work/sent" >"$work/received" || die "local_echo_client"
    cmp "$work/sent" "$work/received" || die "received other data than sent"
    cat "$work/sent" | timeout 60 ./local_echo_client "$path" | cmp - "$work/sent" || die "pipe"
    refused 1 "$path: Address already in use" ./local_echo_server "$path"
    # A killed server leaves its socket file; the next server replaces it.
    kill -KILL $server
    wait $server 2>/dev/null
    exec 8<&-
    refused 1 "$path: Connection refused" ./local_echo_client "$path"
    ./local_echo_server "$path" >"$work/server-output" 2>"$work/server-errors" &
    server=$!
    exec 8<"$work/server-output"
    read -r line <&8 || die "no second server: $(cat "$work/server-errors")"
    timeout 60 ./local_echo_client "$path" </dev/null | cmp - /dev/null || die "nothing in, nothing out"
    stop_server
    grep -q "^process [0-9]* of user $(id -u) has connected$" <&8 || die "no line about the client"
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
  until grep -q '^local_echo_server: the time limit of .* has passed' "$work/server-errors"; do
    [ $SECONDS -lt $end ] || die "a silent client stays connected"
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
    rm -f "$work/server-output"
    start_server --host $host
    target=${host/0.0.0.0/127.0.0.2}
    seq 1000 >"$work/sent"
    timeout 60 ./udp_echo_client $target $port <"$work/sent" >"$work/received" || die "udp_echo_client"
    cmp "$work/sent" "$work/received" || die "received other data than sent"
    refused 1 ".*:$port: Address already in use" ./udp_echo_server --host $host --port $port
    stop_server
  done
  echo anybody >"$work/line"
  timeout 20 ./udp_echo_client 127.0.0.1 $port <"$work/line" 2>"$work/err" && die "nobody listens"
  grep -q '^udp_echo_client: Connection refused$' "$work/err" || die "stderr: $(cat "$work/err")"
  # A server that answers late, twice, and together with the next request.
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
  exchange() { # REQUESTS ANSWERS
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf "$1" >&4
    received=$(timeout 20 cat <&4)
    exec 4<&-
    [ "$received" = "$(printf "$2")" ] || die "sent $1, received $received"
  }
  exchange 'set a 1 2\r\nget a\nget b\ndelete a\nget a\nquit\n' 'ok\nvalue 1 2\nnot found\nok\nnot found'
  exchange 'set k v\nfly\nfly k\nquit\n' \
    'ok\nerror: the commands are set KEY VALUE, get KEY, delete KEY, quit\nerror: unknown command'
  exchange 'get k\nquit\n' 'value v'
  exchange "$(printf '%01001d' 0)"'\n' 'error: the line is too long'
  exchange "$(printf '%02000d' 0)" 'error: the line is too long'
  stop_server
  rm -f "$work/server-output"
  start_server --idle 0.5
  exchange 'set k v\n' 'ok\nerror: the time limit has passed'
  exchange 'set k' 'error: the time limit has passed'
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
    read -r line <"$work/p" || die "no output of the proxy: $(cat "$work/server-errors")"
    rm "$work/p"
    address=${line#listening on }
    if [ "$listen" = 127.0.0.1:0 ]; then
      timeout 60 ./echo_client 127.0.0.1 "${address##*:}" <"$work/sent" | cmp - "$work/sent" || die "tcp"
      through=$address
    else
      timeout 60 ./local_echo_client "$address" <"$work/sent" | cmp - "$work/sent" || die "local"
      # TCP to local.
      mkfifo "$work/q"
      ./proxy 127.0.0.1:0 "$address" >"$work/q" &
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
  # Without its target, the proxy closes the connections of its clients and keeps running.
  ./proxy "$work/p1" "127.0.0.1:$target" >"$work/out" 2>"$work/server-errors" &
  server=$!
  until [ -s "$work/out" ]; do read -rt 0.01 <> <(:); done
  timeout 20 ./local_echo_client "$work/p1" </dev/null >/dev/null 2>&1
  timeout 20 ./local_echo_client "$work/p1" </dev/null >/dev/null 2>&1
  kill $server
  wait $server || die "the proxy ended with status $?"
  server=
  grep -q "^proxy: .*127.0.0.1:$target: Connection refused" "$work/server-errors" ||
    die "stderr: $(cat "$work/server-errors")"
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
    address=http://127.0.0.1:$port
    [ "$(curl $address/a $address/b)" = $'GET /a\nGET /b' ] || die "two on one connection"
    [ "$(curl --http1.0 $address/old)" = "GET /old" ] || die "HTTP/1.0"
    head -c 500000 /dev/zero | tr '\0' x >"$work/sent"
    curl --data-binary @"$work/sent" $address/post | tail -n 1 | cmp - "$work/sent" || die "a large one"
    [ "$(curl -o /dev/null -w '%{http_code}' -X DELETE $address/)" = 405 ] || die "DELETE"
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
  end_input() { # NAME: ends the input of NAME, which then exits with status 0
    exec {inputs[$1]}>&-
    wait ${pid[$1]} || die "$1 exited with status $?, $(cat "$work/$1-errors")"
    unset "pid[$1]"
  }
  start_server
  for name in ann ben; do  # before the pipes are opened, which they would inherit
    mkfifo "$work/$name-input" && : >"$work/$name"
    ./websocket_chat join 127.0.0.1 $port <"$work/$name-input" >"$work/$name" 2>"$work/$name-errors" &
    pid[$name]=$!
  done
  number=0
  for name in ann ben; do
    exec {inputs[$name]}>"$work/$name-input"
    send_line $name "I am $name"
    expect_line $name "$((++number)): I am $name"
  done
  expect_line ann '2: I am ben'
  send_line ann hello
  expect_line ben '1: hello'
  end_input ann
  send_line ben 'anybody?'
  expect_line ben '2: anybody?'
  # A client with another protocol ends only its own connection.
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&4
  timeout 20 cat <&4 | grep -q '^HTTP/1.1 400 ' || die "no 400"
  exec 4<&-
  send_line ben 'still here'
  expect_line ben '2: still here'
  end_input ben
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
  mkfifo "$work/server-output"
  ./tls_lines "$work/certificate" "$work/key" --port 0 >"$work/server-output" 2>"$work/server-errors" &
  server=$!
  read -r line <"$work/server-output" || die "no output of the server: $(cat "$work/server-errors")"
  address=${line#listening on }
  for version in -tls1_2 -tls1_3; do
    seq 3000 >"$work/lines"
    { cat "$work/lines"; echo quit; } | timeout 60 openssl s_client -quiet -CAfile \
      "$work/certificate" -verify_return_error $version -connect "$address" >"$work/received" \
      2>"$work/err" || die "s_client: $(cat "$work/err")"
    cmp "$work/lines" "$work/received" || die "received other data than sent"
  done
  stop_server
  ;;
https_get)
  make_certificate
  # The peer is openssl, which answers with a page about the connection.
  openssl s_server -quiet -www -accept 127.0.0.1:0 -cert "$work/certificate" -key "$work/key" \
    -no_ticket >"$work/peer" 2>&1 &
  pid[peer]=$!
  port=
  for ((i = 0; i != 500; ++i)); do
    port=$(ss -Hltnp 2>/dev/null | sed -n "s/.*127.0.0.1:\([0-9]*\) .*pid=${pid[peer]},.*/\1/p")
    [ -z "$port" ] || break
    sleep 0.01
  done
  [ -n "$port" ] || { echo "skipped: needs ss"; exit 77; }
  export SSL_CERT_FILE=$work/certificate
  timeout 20 ./https_get localhost $port >"$work/out" 2>"$work/err" || die "https_get: $(cat "$work/err")"
  grep -q '^HTTP/1.0 200 ok' "$work/out" || die "the page is: $(cat "$work/out")"
  refused 1 "127.0.0.1:$port: the certificate is not for 127.0.0.1: it is for localhost" \
    ./https_get 127.0.0.1 $port
  unset SSL_CERT_FILE
  refused 1 "localhost:$port: the certificate CN=localhost is signed by itself, and is not trusted" \
    ./https_get localhost $port
  refused 2 'usage: https_get HOST' ./https_get
  ;;
tls_echo_server)
  make_certificate
  refused 2 'usage: tls_echo_server CERTIFICATE KEY' ./tls_echo_server
  refused 1 "$work/none: No such file" ./tls_echo_server "$work/certificate" "$work/none"
  start_tls_server "$work/certificate" "$work/key"
  for version in -tls1_2 -tls1_3; do
    ask "$version" || die "s_client: $(cat "$work/err")"
  done
  ! timeout 20 openssl s_client -tls1_1 -connect "127.0.0.1:$port" </dev/null >"$work/out" 2>&1 ||
    die "TLS 1.1 was served"
  # Another certificate, while it runs; then files that do not fit.
  old=$(shown_serial)
  make_certificate
  kill -HUP $server
  read -r line <&"$output" && [ "$line" = reloaded ] || die "after SIGHUP: $line"
  [ "$(shown_serial)" != "$old" ] || die "the certificate is the old one"
  ask -tls1_3 || die "s_client: $(cat "$work/err")"
  echo nonsense >"$work/key"
  kill -HUP $server
  read -r line <&"$output"
  [[ $line == 'not reloaded: '* ]] || die "after SIGHUP: $line"
  ask -tls1_3 || die "s_client: $(cat "$work/err")"
  : >"$work/server-errors"  # the client with TLS 1.1
  stop_server
  ;;
tls_proxy)
  make_certificate
  refused 2 'usage: tls_proxy CERTIFICATE KEY' ./tls_proxy
  start_server
  plain=$server
  program=tls_proxy
  rm -f "$work/server-output"
  start_tls_server "$work/certificate" "$work/key" 127.0.0.1 $port
  ask -tls1_3 || die "s_client: $(cat "$work/err")"
  stop_server
  server=$plain
  stop_server
  ;;
metrics)
  mkfifo "$work/server-output"
  env --default-signal=INT ./metrics_server --port 0 --metrics 0 --loops 2 >"$work/server-output" \
    2>"$work/server-errors" &
  server=$!
  exec 8<"$work/server-output"
  read -r line <&8 && port=${line##*:} && read -r line <&8 && scraped=${line##*:} ||
    die "no output of the server: $(cat "$work/server-errors")"
  scrape() { # prints the metrics
    timeout 20 curl --silent --show-error --fail "http://127.0.0.1:$scraped/metrics"
  }
  value() { # METRIC: prints the sum of its values over the loops
    awk -v name="$1" 'index($1, name "{loop=") == 1 { sum += $2; ++loops } END { print loops ":" sum + 0 }' "$work/metrics"
  }
  command -v curl >/dev/null || { echo "skipped: needs curl"; exit 77; }
  seq 1000 >"$work/lines"
  for i in 1 2 3; do
    timeout 20 ./echo_client 127.0.0.1 "$port" <"$work/lines" | cmp - "$work/lines" || die "echo"
  done
  exec 4<>"/dev/tcp/127.0.0.1/$port"
  echo one >&4
  read -r line <&4
  # The handlers of the three others end a moment after their clients.
  end=$((SECONDS + 60))
  until scrape >"$work/metrics" && [ "$(value cosock_server_connections)" = 2:1 ]; do
    [ $SECONDS -lt $end ] || die "connections: $(cat "$work/metrics")"
  done
  bytes=$((3 * $(wc -c <"$work/lines") + 4))
  for expected in cosock_server_accepted_total=2:4 cosock_server_received_bytes_total=2:$bytes \
    cosock_server_sent_bytes_total=2:$bytes cosock_server_failed_total=2:0 cosock_look_ups_running=2:0; do
    [ "$(value ${expected%=*})" = ${expected#*=} ] || die "$expected: $(cat "$work/metrics")"
  done
  # At least an acceptor of each loop and the connection; the tasks of each loop, server and handler.
  for least in cosock_descriptors=3 cosock_tasks=3 cosock_timers=1 cosock_waiting_operations_total=4 \
    cosock_immediate_operations_total=4 cosock_messages_total=2 cosock_scheduling_delay_seconds_count=4; do
    number=$(value ${least%=*})
    [ "${number#2:}" -ge ${least#*=} ] || die "$least: $(cat "$work/metrics")"
  done
  [ "$(timeout 20 curl --silent -o /dev/null -w '%{http_code}' "http://127.0.0.1:$scraped/")" = 404 ] ||
    die "a page that does not exist"
  if command -v promtool >/dev/null; then
    promtool check metrics <"$work/metrics" >"$work/out" 2>&1 && [ ! -s "$work/out" ] ||
      die "promtool: $(cat "$work/out")"
  else
    echo "not checked by promtool, which is not installed"
  fi
  exec 4<&-
  : >"$work/server-errors"  # a busy machine has slow turns
  stop_server
  exec 8<&-
  refused 2 '--metrics "x": not a port' ./metrics_server --metrics x
  ;;
chat)
  program=chat_server
  for loops in 1 2; do
    rm -f "$work/server-output"
    start_server --loops $loops
    # Every member enters the lobby: the others receive its first words.
    join alice
    expect_line alice '* welcome, alice; commands: /join ROOM, /leave, /who, /quit'
    expect_line alice '* in lobby: alice'
    expect_line alice '* alice has joined lobby'
    join bob
    expect_line bob '* in lobby: alice bob'
    expect_line alice '* bob has joined lobby'
    send_line alice 'good morning'
    expect_line bob 'alice: good morning'
    send_line bob 'hello'
    expect_line alice 'bob: hello'
    # Names are unique.
    echo /quit | timeout 20 ./chat_client 127.0.0.1 $port alice >"$work/out" || die "status $?"
    grep -qFx '! the name alice is taken' "$work/out" || die "taken: $(cat "$work/out")"
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    printf 'two words\n\n%033d\neve\n/fly\n/join two words\n/leave\n/join lobby\n/quit\n' 0 >&4
    received=$(timeout 20 cat <&4 | grep -vFx '* eve has joined lobby')
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
    [ "$received" = "$(cat "$work/expected")" ] || die "names: $received"
    expect_line alice '* eve has left the chat'
    # Rooms.
    send_line bob '/join tea'
    expect_line alice '* bob has left lobby'
    expect_line bob '* in tea: bob'
    expect_line bob '* bob has joined tea'
    send_line bob 'is anybody here?'
    expect_line bob 'bob: is anybody here?'
    send_line alice 'goodbye bob'
    expect_line alice 'alice: goodbye bob'
    send_line alice '/who'
    expect_count alice '* in lobby: alice' 2
    send_line bob '/leave'
    expect_count bob '* in lobby: alice bob' 2
    expect_count alice '* bob has joined lobby' 2
    send_line alice '/who'
    expect_line alice '* in lobby: alice bob'
    expect_no_text bob 'goodbye'
    expect_no_text bob '* bob has left'
    expect_no_text alice 'anybody'
    # Invalid lines.
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    long=$(printf '%04096d' 0)
    printf 'eve\nhi\rbob: I am bob\033[2J\n%s\n%s0\n%02000000d\n/quit\n' $long $long 0 >&4
    received=$(timeout 20 cat <&4)
    exec 4<&-
    [ "$(grep -cFx '! line too long: the limit is 4096 bytes' <<<"$received")" = 2 ] ||
      die "too long: $received"
    expect_line alice 'eve: hi bob: I am bob [2J'
    expect_line alice "eve: $long"
    expect_count alice '* eve has left the chat' 2
    printf '%04097d' 0 >"$work/line"
    timeout 20 ./chat_client 127.0.0.1 $port dan <"$work/line" >"$work/out" 2>"$work/err" && die "4097"
    grep -q '^chat_client: more than 4096 bytes: the line is too long$' "$work/err" || die "4097: $(cat "$work/err")"
    # A member that does not read is disconnected, and delays nobody.
    join carol
    expect_line carol '* carol has joined lobby'
    kill -STOP ${pid[carol]}
    flood alice bob
    expect_no_text carol 'part 20'
    kill -CONT ${pid[carol]}
    expect_line carol '! disconnected: too slow'
    expect_line bob '* carol was disconnected: too slow'
    expect_exit carol 1
    expect_no_text carol 'part 20'
    grep -qx 'chat_client: the server closed the connection' "$work/carol-errors" || die "carol"
    # The client of dan ended with unread lines, which can reset its connection.
    grep -q '^chat_server: connection from 127.0.0.1:[0-9]*: slow consumer: the peer is not reading' \
      "$work/server-errors" &&
      [ "$(grep -vcE ': (Connection reset by peer|Broken pipe)$' "$work/server-errors")" = 1 ] ||
      die "stderr of the server: $(cat "$work/server-errors")"
    : >"$work/server-errors"
    # Many members, on all loops.
    for i in {1..12}; do
      join m$i
      send_line m$i '/join party'
      expect_line m1 "* m$i has joined party"
    done
    for i in {1..12}; do send_line m$i "I am $i"; done
    for i in {1..12}; do for k in {1..12}; do expect_line m$i "m$k: I am $k"; done; done
    send_line m1 /who
    expect_line m1 '* in party: m1 m10 m11 m12 m2 m3 m4 m5 m6 m7 m8 m9'
    send_line m12 /quit
    expect_exit m12 0
    expect_line m1 '* m12 has left the chat'
    # The shutdown.
    stop_server
    for name in alice bob m{1..11}; do
      expect_line $name '* the server is shutting down'
      expect_exit $name 1
    done
  done
  rm -f "$work/server-output"
  start_server --loops 0
  join alice
  expect_line alice '* alice has joined lobby'
  stop_server
  # A silent member receives a ping, and is disconnected; chat_client answers the ping.
  rm -f "$work/server-output"
  start_server --idle 0.7
  join alice
  expect_line alice '* alice has joined lobby'
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
  expect_line alice '* eve has left the chat'
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
  send_line alice 'still here'
  expect_line alice 'alice: still here'
  expect_no_text alice '/ping'
  send_line alice /quit
  expect_exit alice 0
  grep -q '^chat_server: connection from 127.0.0.1:[0-9]*: the time limit of .* has passed' \
    "$work/server-errors" &&
    [ "$(wc -l <"$work/server-errors")" = 1 ] || die "stderr: $(cat "$work/server-errors")"
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
  mkfifo "$work/server-output"
  ./fan_out --port 0 --feed-port 0 >"$work/server-output" 2>"$work/server-errors" &
  server=$!
  exec 8<"$work/server-output"
  read -r line <&8 && read -r feed <&8 || die "no output of the server: $(cat "$work/server-errors")"
  port=${line##*:}
  for name in fast slow; do
    cat <"/dev/tcp/127.0.0.1/$port" >"$work/$name" &
    pid[$name]=$!
  done
  exec 5<>"/dev/tcp/127.0.0.1/${feed##*:}"
  until [ -s "$work/fast" ] && [ -s "$work/slow" ]; do
    echo first >&5
    read -rt 0.01 <> <(:)
  done
  echo begin >&5
  expect_line fast begin
  expect_line slow begin
  # A subscriber that does not read loses lines, and receives their number; the others lose none.
  kill -STOP ${pid[slow]}
  long=$(printf '%0500d' 0)
  for _ in {1..20000}; do echo $long; done >&5
  printf 'a\033b\nend\n' >&5
  expect_line fast end
  expect_no_text slow end
  kill -CONT ${pid[slow]}
  expect_line slow end
  expect_line fast 'a b'
  for name in fast slow; do
    total=$(sed '1,/^begin$/d' "$work/$name" | awk '/^! missed/ {n += $3; next} {++n} END {print n}')
    [ "$total" = 20002 ] || die "$name received or missed $total lines"
  done
  grep -q '^! missed' "$work/slow" || die "slow missed no line"
  kill -TERM $server
  for name in fast slow; do
    wait ${pid[$name]} || die "$name ended with status $?"
    unset "pid[$name]"
  done
  wait $server || die "the server ended with status $?"
  server=
  [ ! -s "$work/server-errors" ] || die "stderr of the server: $(cat "$work/server-errors")"
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
  # On loopback, in a network namespace.
  unshare -n true 2>/dev/null || { echo "skipped: needs root, for a network namespace"; exit 77; }
  unshare -n bash -c '
    ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo || exit 1
    mkfifo "$0/one"
    ./multicast_chat 239.7.7.7 7007 lo <"$0/one" >"$0/received-one" &
    exec 7>"$0/one"
    echo "I am one" >&7
    until grep -q one "$0/received-one"; do read -rt 0.01 <> <(:); done
    printf "I am two\na\033b" | ./multicast_chat 239.7.7.7 7007 lo >"$0/received-two"
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
    echo six | ./multicast_chat ff02::7%m0 7007 >"$0/received-six" 2>"$0/err"
  ' "$work" || die "over IPv6: $(cat "$work/err")"
  grep -q "%m0.*: six$" "$work/received-six" || die "over IPv6: $(cat "$work/received-six")"
  grep -q ": I am two$" "$work/received-one" || die "one received: $(cat "$work/received-one")"
  grep -q ": a b$" "$work/received-one" || die "one received: $(cat "$work/received-one")"
  grep -q ": I am two$" "$work/received-two" || die "two received: $(cat "$work/received-two")"
  ;;
readme)
  [ "$(timeout 20 ./readme)" = hello ] || die "the sample of the README does not print hello"
  ;;
restarting)
  # start_restarting COMMAND...: as start_server, but the output stays open for the next processes.
  start_restarting() {
    : >"$work/server-output"
    : >"$work/server-errors"
    "$@" >"$work/server-output" 2>"$work/server-errors" &
    server=$!
  }
  wait_for_output() {
    until grep -q "$1" "$work/$2"; do
      read -rt 0.01 <> <(:)
      kill -0 $server 2>/dev/null || die "the server has ended: $(cat "$work/server-errors")"
    done
  }
  # say DESCRIPTOR TEXT: sends a line, and expects it back.
  say() {
    echo "$2" >&"$1"
    read -rt 20 line <&"$1" && [ "$line" = "$2" ] || die "sent $2, received $line"
  }
  # The process need not be a child, and its parent may leave it a zombie for a while.
  wait_for_end() {
    while grep -q '^State:.[^Z]' /proc/"$1"/status 2>/dev/null; do read -rt 0.01 <> <(:); done
  }
  # hand_over: sets $server to the new process. The old one goes on until descriptor 4 is closed.
  hand_over() {
    : >"$work/server-output"
    exec 4<>"/dev/tcp/127.0.0.1/$port"
    say 4 before
    kill -HUP $server
    wait_for_output '^handed over to process [0-9]*$' server-output
    old=$server
    server=$(sed -n 's/^handed over to process //p' "$work/server-output")
    say 4 after
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    say 5 new
    exec 4<&- 5<&-
    wait_for_end $old
  }
  stop_last() {
    kill -TERM $server
    wait_for_end $server
    server=
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "the port is still open"
    [ ! -s "$work/server-errors" ] || die "stderr of the server: $(cat "$work/server-errors")"
  }
  for loops in 1 3; do
    start_restarting ./restarting_echo --port 0 --loops $loops
    first=$server
    wait_for_output '^listening on' server-output
    port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/server-output")
    hand_over
    wait $first || die "the old process ended with status $?"
    hand_over
    stop_last
  done
  # A new program that does not work: the old one goes on, and may be told again.
  cp restarting_echo "$work/program"
  start_restarting "$work/program" --port 0
  first=$server
  wait_for_output '^listening on' server-output
  port=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$work/server-output")
  mv "$work/program" "$work/good"
  kill -HUP $server
  wait_for_output "program.*No such file or directory" server-errors
  printf '#!/bin/sh\nexit 3\n' >"$work/program"
  chmod +x "$work/program"
  kill -HUP $server
  wait_for_output 'ended with status 3 before it was ready' server-errors
  mv "$work/good" "$work/program"
  : >"$work/server-errors"
  hand_over
  wait $first || die "the old process ended with status $?"
  stop_last
  # Sockets of a service manager.
  LISTEN_FDS=x refused 1 'LISTEN_FDS is "x"; accepted: the number of sockets' ./restarting_echo
  command -v systemd-socket-activate >/dev/null || { echo "the rest needs systemd"; exit 0; }
  # start_activated OPTIONS: on a port that is free, because systemd takes no port 0.
  start_activated() {
    for _ in {1..100}; do
      port=$((20000 + RANDOM % 10000))
      start_restarting systemd-socket-activate --listen 127.0.0.1:$port "$@" ./restarting_echo
      until grep -q 'Listening on' "$work/server-errors"; do
        kill -0 $server 2>/dev/null || continue 2
        read -rt 0.01 <> <(:)
      done
      return
    done
    die "systemd-socket-activate: $(cat "$work/server-errors")"
  }
  start_activated --fdname=web
  first=$server
  exec 5<>"/dev/tcp/127.0.0.1/$port"
  say 5 activated
  exec 5<&-
  wait_for_output "^listening on 127.0.0.1:$port$" server-output
  : >"$work/server-errors"
  hand_over
  wait $first || die "the old process ended with status $?"
  hand_over
  stop_last
  # A socket that is not of TCP.
  start_activated --datagram
  echo x >"/dev/udp/127.0.0.1/$port"
  wait $server && die "a UDP socket was accepted"
  server=
  grep -q 'is a UDP socket; accepted: a TCP socket that listens' "$work/server-errors" ||
    die "stderr of the server: $(cat "$work/server-errors")"
  ;;
*)
  die "no test $test"
  ;;
esac

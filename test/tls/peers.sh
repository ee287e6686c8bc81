#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# peers.sh PEER FOLDER: has the samples in FOLDER talk TLS with another implementation, as server and as
# client. Status 77: the program of the peer is not there.
set -u
peer=$1
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

# An authority, a certificate of a server for localhost and 127.0.0.1, and one of a client.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=authority -days 1 \
  -keyout "$work/root.key" -out "$work/root" 2>"$work/err" || die "$(cat "$work/err")"
issue() {
  openssl req -newkey "${4:-ec}" ${5:--pkeyopt ec_paramgen_curve:prime256v1} -nodes -subj "/CN=$1" \
    -keyout "$work/$1.key" -out "$work/$1.request" 2>"$work/err" || die "$(cat "$work/err")"
  printf '%s\n' "subjectAltName=$2" "extendedKeyUsage=$3" >"$work/extensions"
  openssl x509 -req -in "$work/$1.request" -CA "$work/root" -CAkey "$work/root.key" -days 1 \
    -extfile "$work/extensions" -out "$work/$1" 2>"$work/err" || die "$(cat "$work/err")"
}
issue server DNS:localhost,IP:127.0.0.1 serverAuth
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

case $peer in
openssl)
  start_echo
  client=(openssl s_client -quiet -no_ign_eof -CAfile "$work/root" -verify_return_error
    -verify_hostname localhost -connect "127.0.0.1:$port")
  for version in -tls1_2 -tls1_3; do echoes "${client[@]}" $version; done
  # Resumption, with a ticket that travels with the first data.
  for version in -tls1_2 -tls1_3; do
    echoes "${client[@]}" $version -sess_out "$work/session"
    [ -s "$work/session" ] || die "no ticket"
    echo 2000 | timeout 20 openssl s_client -no_ign_eof -CAfile "$work/root" $version \
      -connect "127.0.0.1:$port" -sess_in "$work/session" >"$work/out" 2>&1
    grep -q '^Reused, ' "$work/out" || die "not resumed: $(cat "$work/out")"
  done
  # New keys: the command K of s_client asks for them, k only tells.
  { printf 'first\n'; sleep 0.3; printf 'K\n'; sleep 0.3; printf 'k\n'; sleep 0.3; printf 'second\n'
    sleep 0.5; } | timeout 20 openssl s_client -CAfile "$work/root" -connect "127.0.0.1:$port" >"$work/out" 2>&1
  grep -q '^KEYUPDATE' "$work/out" || die "no new keys: $(cat "$work/out")"
  grep -q '^second$' "$work/out" || die "nothing after new keys: $(cat "$work/out")"
  for version in -tls1_2 -tls1_3; do
    free_port
    openssl s_server -quiet -www -accept "127.0.0.1:$port" -cert "$work/server" -key "$work/server.key" \
      $version >"$work/s_server.log" 2>&1 &
    processes+=($!)
    listens "$port"
    get_page '^HTTP/1.0 200 ok'
    get_page '^HTTP/1.0 200 ok' 127.0.0.1
  done
  ;;
gnutls)
  needs gnutls-cli gnutls-serv python3
  start_echo
  for priority in NORMAL:-VERS-ALL:+VERS-TLS1.2 NORMAL:-VERS-ALL:+VERS-TLS1.3; do
    echoes gnutls-cli --logfile="$work/gnutls.log" --x509cafile="$work/root" --priority="$priority" \
      --port="$port" localhost
  done
  free_port
  gnutls-serv --http --port="$port" --x509certfile="$work/server" --x509keyfile="$work/server.key" \
    >"$work/gnutls-serv.log" 2>&1 &
  processes+=($!)
  listens "$port"
  get_page 'HTTP/1.0 200 OK'
  ;;
curl)
  needs curl python3
  start_web
  for version in '--tlsv1.2 --tls-max 1.2' '--tlsv1.3'; do
    # Two requests, the second one over a connection of its own.
    # shellcheck disable=SC2086
    timeout 20 curl -sS --cacert "$work/root" $version "https://localhost:$port/index.html" --next -sS \
      --cacert "$work/root" "https://127.0.0.1:$port/" >"$work/page" 2>"$work/err" || die "$(cat "$work/err")"
    [ "$(grep -c '^the page$' "$work/page")" = 2 ] || die "the pages are: $(cat "$work/page")"
  done
  ;;
python)
  needs python3
  start_echo
  python3 - "$work" "$port" <<'END' || die "Python's client"
import socket, ssl, sys
work, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(cafile=work + '/root')
session = None
for n in range(3):
    with context.wrap_socket(socket.create_connection(('127.0.0.1', port)), server_hostname='localhost',
                             session=session) as s:
        s.sendall(b'x' * 100000)
        got = b''
        while len(got) != 100000:
            got += s.recv(65536)
        assert s.session_reused == (n != 0), n
        session = s.session
        s.unwrap()  # both send close_notify
END
  free_port
  python3 - "$work" "$port" >"$work/python.log" 2>&1 <<'END' &
import http.server, ssl, sys
work, port = sys.argv[1], int(sys.argv[2])
class page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'the page of python')
    def finish(self):
        super().finish()
        self.connection.unwrap()
server = http.server.HTTPServer(('127.0.0.1', port), page)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(work + '/server', work + '/server.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
  processes+=($!)
  listens "$port"
  get_page 'the page of python'
  ;;
nginx)
  needs nginx python3
  start_web
  ours=$port
  free_port
  tls=$port
  free_port
  # It serves the page itself, and forwards from a plain port to our server.
  cat >"$work/nginx.conf" <<END
daemon off; master_process off; pid $work/nginx.pid; error_log $work/nginx.log;
events {}
http {
  access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  server { listen 127.0.0.1:$tls ssl; ssl_certificate $work/server; ssl_certificate_key $work/server.key;
    ssl_protocols TLSv1.2 TLSv1.3; root $work/web; }
  server { listen 127.0.0.1:$port; location / { proxy_pass https://127.0.0.1:$ours; proxy_ssl_verify on;
    proxy_ssl_trusted_certificate $work/root; proxy_ssl_name localhost; proxy_ssl_server_name on; } }
}
END
  nginx -c "$work/nginx.conf" -e "$work/nginx.log" >"$work/nginx.out" 2>&1 &
  processes+=($!)
  listens "$port"
  python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read())' \
    "http://127.0.0.1:$port/" | grep -q 'the page' || die "nginx as the client: $(cat "$work/nginx.log")"
  port=$tls
  get_page '^the page'
  ;;
haproxy)
  needs haproxy python3
  start_web
  ours=$port
  free_port
  tls=$port
  free_port
  cat "$work/server" "$work/server.key" >"$work/both"
  cat >"$work/haproxy.cfg" <<END
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen secure
  bind 127.0.0.1:$tls ssl crt $work/both
  server plain 127.0.0.1:$plain
listen plain
  bind 127.0.0.1:$port
  server secure 127.0.0.1:$ours ssl verify required ca-file $work/root sni str(localhost) verifyhost localhost
END
  haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
  processes+=($!)
  listens "$port"
  python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read())' \
    "http://127.0.0.1:$port/" | grep -q 'the page' || die "haproxy as the client: $(cat "$work/haproxy.log")"
  port=$tls
  get_page '^the page'
  ;;
stunnel)
  needs stunnel4 python3
  start_web
  ours=$port
  free_port
  tls=$port
  free_port
  cat >"$work/stunnel.conf" <<END
foreground = yes
pid =
[server]
accept = 127.0.0.1:$tls
connect = 127.0.0.1:$plain
cert = $work/server
key = $work/server.key
[client]
client = yes
accept = 127.0.0.1:$port
connect = 127.0.0.1:$ours
CAfile = $work/root
verifyChain = yes
checkHost = localhost
END
  stunnel4 "$work/stunnel.conf" >"$work/stunnel.log" 2>&1 &
  processes+=($!)
  listens "$port"
  listens "$tls"
  python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read())' \
    "http://127.0.0.1:$port/" | grep -q 'the page' || die "stunnel as the client: $(cat "$work/stunnel.log")"
  port=$tls
  get_page '^the page'
  ;;
sslscan)
  needs sslscan
  start_echo
  timeout 100 sslscan --no-colour "127.0.0.1:$port" >"$work/scan" 2>&1 || die "$(cat "$work/scan")"
  for expected in 'SSLv2 *disabled' 'SSLv3 *disabled' 'TLSv1.0 *disabled' 'TLSv1.1 *disabled' \
    'TLSv1.2 *enabled' 'TLSv1.3 *enabled' 'Session renegotiation not supported' \
    'Compression disabled\|does not support compression' 'not vulnerable to heartbleed'; do
    grep -q -- "$expected" "$work/scan" || die "not $expected: $(cat "$work/scan")"
  done
  ! grep -E '(Preferred|Accepted) .*(CBC|RC4|3DES|NULL|EXP|anon| AES[0-9]+-SHA)' "$work/scan" ||
    die "a weak cipher suite"
  ! grep -E '(Preferred|Accepted) +TLSv1.2 ' "$work/scan" | grep -vE ' ECDHE-' || die "no forward secrecy"
  ;;
*) die "unknown peer: $peer" ;;
esac

#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# peers.sh PEER FOLDER: has the programs in FOLDER speak the PROXY protocol with another implementation, in
# both directions. Status 77: the program of the peer is not there.
set -u
peer=$1
cd "$2" || exit 1
work=$(mktemp -d)
processes=()
trap 'kill -KILL "${processes[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
export LC_ALL=C
PATH=$PATH:/usr/sbin

die() {
  echo "FAILED: $*" >&2
  cat "$work"/*.log >&2 2>/dev/null
  exit 1
}

needs() {
  for name; do
    command -v "$name" >/dev/null || { echo "skipped: needs $name"; exit 77; }
  done
}
needs python3

# start [OPTIONS]: starts our server; sets $server to its port. Its lines go to $work/lines, its
# errors to $work/server.log.
start() {
  : >"$work/lines"
  ./proxied_echo_server --port 0 "$@" >"$work/lines" 2>"$work/server.log" &
  processes+=($!)
  expect '^listening on '
  server=$(sed -n '1s/.*://p' "$work/lines")
}

# expect PATTERN [FILE]: waits for a line of our server.
expect() {
  for ((i = 0; i != 1000; ++i)); do
    grep -qE -- "$1" "${2:-$work/lines}" && return
    sleep 0.02
  done
  die "no line $1 but: $(cat "${2:-$work/lines}")"
}

# free_ports N: prints that many ports that nobody uses now.
free_ports() {
  python3 -c 'import socket, sys
all = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in all))' "$1"
}

# listens PORT: waits until somebody listens there.
listens() {
  for ((i = 0; i != 1000; ++i)); do
    grep -qi ":$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp && return
    sleep 0.02
  done
  die "nobody listens on $1"
}

# echoes PORT [FROM]: sends lines there, from the port FROM, and compares the answer; sets $from.
echoes() {
  from=$(timeout 30 python3 - "$@" <<'END'
import socket, ssl, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
port = s.getsockname()[1]
if len(sys.argv) > 2:
    context = ssl.create_default_context(cafile=sys.argv[2])
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    context.set_alpn_protocols(["echo/1"])
    s = context.wrap_socket(s, server_hostname="localhost")
sent = b"".join(b"line %d\n" % i for i in range(2000))
s.sendall(sent)
received = b""
while len(received) < len(sent):
    some = s.recv(65536)
    assert some, "the connection ended"
    received += some
assert received == sent
print(port)
END
  ) || die "no echo on port $1"
}

# sends VERSION PORT: our client sends a header and a request.
sends() {
  printf 'GET / HTTP/1.0\r\nHost: x\r\n\r\n' |
    timeout 20 ./send_header "$2" "$1" >"$work/page" 2>"$work/err" || die "send_header: $(cat "$work/err")"
}

case $peer in
haproxy)
  needs haproxy openssl
  # A certificate that is that of the authority, of the server and of the client.
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 1 \
    -addext subjectAltName=DNS:localhost -keyout "$work/key" -out "$work/certificate" 2>"$work/err" ||
    die "$(cat "$work/err")"
  cat "$work/certificate" "$work/key" >"$work/both"
  start --trust 127.0.0.0/8 --untrusted refuse
  read -r v1 v2 secure accepts local checked web page < <(free_ports 8)
  cat >"$work/haproxy.cfg" <<END
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen v1
  bind 127.0.0.1:$v1
  server ours 127.0.0.1:$server send-proxy
listen v2
  bind 127.0.0.1:$v2
  server ours 127.0.0.1:$server send-proxy-v2 proxy-v2-options crc32c,unique-id
  unique-id-format id-%cp
listen secure
  bind 127.0.0.1:$secure ssl crt $work/both ca-file $work/certificate verify optional alpn echo/1
  server ours 127.0.0.1:$server send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority,ssl,cert-cn,cert-key,cert-sig,ssl-cipher
listen accepts
  bind 127.0.0.1:$accepts accept-proxy
  server ours 127.0.0.1:$server send-proxy-v2
listen local
  bind $work/socket mode 666 accept-proxy
  bind 127.0.0.1:$local
  server ours 127.0.0.1:$server send-proxy-v2
listen checked
  bind 127.0.0.1:$checked
  option tcp-check
  server ours 127.0.0.1:$server send-proxy-v2 check check-send-proxy inter 100ms
listen web
  mode http
  bind 127.0.0.1:$web accept-proxy
  http-request return status 200 content-type text/plain lf-string "%ci:%cp at %[dst]:%[dst_port]\n"
END
  haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
  processes+=($!)
  listens "$web"
  for port in "$v1" "$v2" "$local"; do
    echoes "$port"
    expect "^client 127.0.0.1:$from at 127.0.0.1:$port by 127.0.0.1:"
  done
  echoes "$v2"
  expect "^client 127.0.0.1:$from .*, id id-$from$"
  echoes "$secure" "$work/certificate" "$work/certificate" "$work/key"
  expect "^client 127.0.0.1:$from at 127.0.0.1:$secure by .*, protocol echo/1, host localhost, TLSv1.3 of localhost$"
  # The checks of haproxy are LOCAL.
  expect '^client (127.0.0.1:[0-9]+) at .* by \1, the proxy itself$'
  # Our header, and two proxies.
  for version in 1 2 2-with-checksum; do
    sends $version "$web"
    grep -q '^192.0.2.7:4321 at 198.51.100.9:80' "$work/page" || die "haproxy answers $(cat "$work/page")"
    sends $version "$accepts" &
    processes+=($!)
    expect '^client 192.0.2.7:4321 at 198.51.100.9:80 by 127.0.0.1:'
  done
  ! grep -q . "$work/server.log" || die "errors of the server"
  ;;
nginx)
  needs nginx
  nginx_modules=/usr/lib/nginx/modules
  [ -e $nginx_modules/ngx_stream_module.so ] || nginx -V 2>&1 | grep -q -e '--with-stream ' ||
    { echo "skipped: needs nginx with its module for TCP"; exit 77; }
  start --trust 127.0.0.1 --untrusted refuse
  read -r stream web both < <(free_ports 3)
  load=
  [ ! -e $nginx_modules/ngx_stream_module.so ] || load="load_module $nginx_modules/ngx_stream_module.so;"
  cat >"$work/nginx.conf" <<END
$load
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events {}
stream {
  server {
    listen 127.0.0.1:$stream;
    proxy_protocol on;
    proxy_pass 127.0.0.1:$server;
  }
  server {
    listen 127.0.0.1:$both proxy_protocol;
    set_real_ip_from 127.0.0.1;
    proxy_protocol on;
    proxy_pass 127.0.0.1:$server;
  }
}
http {
  access_log off;
  client_body_temp_path $work/body;
  proxy_temp_path $work/proxy;
  fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi;
  scgi_temp_path $work/scgi;
  server {
    listen 127.0.0.1:$web proxy_protocol;
    location / {
      default_type text/plain;
      return 200 "\$proxy_protocol_addr:\$proxy_protocol_port at \$proxy_protocol_server_addr:\$proxy_protocol_server_port\n";
    }
  }
}
END
  nginx -c "$work/nginx.conf" -p "$work" >"$work/nginx-output.log" 2>&1 &
  processes+=($!)
  listens "$web"
  echoes "$stream"
  expect "^client 127.0.0.1:$from at 127.0.0.1:$stream by 127.0.0.1:"
  for version in 1 2 2-with-checksum; do
    sends $version "$web"
    grep -q '^192.0.2.7:4321 at 198.51.100.9:80' "$work/page" || die "nginx answers $(cat "$work/page")"
  done
  sends 2 "$both" &
  processes+=($!)
  expect '^client 192.0.2.7:4321 at '
  ! grep -q . "$work/server.log" || die "errors of the server"
  # The master kills its workers.
  kill -TERM "$(cat "$work/nginx.pid")"
  ;;
curl)
  needs curl
  start --trust 127.0.0.1 --untrusted refuse
  curl -s --http0.9 --max-time 20 --haproxy-protocol "http://127.0.0.1:$server/" >"$work/page" 2>&1 &
  processes+=($!)
  expect "^client (127.0.0.1:[0-9]+) at 127.0.0.1:$server by \\1$"
  expect '^GET / HTTP/1.1' "$work/page"
  ! grep -q . "$work/server.log" || die "errors of the server"
  ;;
socat)
  needs socat
  start --trust 127.0.0.1
  # pieces BYTES...: sends them one by one, over one connection.
  pieces() {
    { for piece; do printf '%b' "$piece"; sleep 0.02; done; } | timeout 20 socat -t 5 - "TCP:127.0.0.1:$server" >"$work/page" 2>"$work/err"
  }
  pieces PRO 'XY TCP4 192.0.2.1 198.5' '1.100.2 11 22\r' '\nhel' 'lo\n'
  expect '^client 192.0.2.1:11 at 198.51.100.2:22 by '
  [ "$(cat "$work/page")" = hello ] || die "the answer is $(cat "$work/page")"
  pieces '\r\n\r\n\0\r' '\nQUIT' '\n\x21\x11\0' '\x0c\1\2\3\4\5\6\7\x08' '\0\1\0\2' 'hello\n'
  expect '^client 1.2.3.4:1 at 5.6.7.8:2 by '
  [ "$(cat "$work/page")" = hello ] || die "the answer is $(cat "$work/page")"
  pieces hel lo
  expect 'this one did not' "$work/server.log"
  pieces PROX
  expect 'the connection ended after 4 bytes of a PROXY header' "$work/server.log"
  # Nobody is trusted.
  start
  pieces PROX Y 'X\n'
  expect '^client (127.0.0.1:[0-9]+) at .* by \1$'
  [ "$(cat "$work/page")" = PROXYX ] || die "the answer is $(cat "$work/page")"
  pieces PROX 'Y ' 'TCP4 192.0.2.1 198.51.100.2 11 22\r\n'
  expect 'it has sent a PROXY header, and is not a trusted proxy' "$work/server.log"
  ! grep -q 192.0.2.1 "$work/lines" || die "a header of somebody was believed"
  ;;
*) die "unknown peer: $peer" ;;
esac

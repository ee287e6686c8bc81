# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# haproxy, as a server, and as a proxy that is a client. Sourced by peers.sh.

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
"${fetch[@]}" "http://127.0.0.1:$port/" | grep -q 'the page' || die "haproxy as the client: $(cat "$work/haproxy.log")"
port=$tls
get_page '^the page'

# Client certificates, ALPN and resumption, as the server and as the client. Each thread has its own sessions.
start_peer roots "$work/root" protocols h2,http/1.1
ours=$port
free_port
tls=$port
free_port
with=$port
free_port
without=$port
cat "$work/client" "$work/client.key" >"$work/client-both"
cat >"$work/haproxy-2.cfg" <<END
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  retries 0
listen secure
  bind 127.0.0.1:$tls ssl crt $work/both verify required ca-file $work/root alpn h2,http/1.1
  server plain 127.0.0.1:$plain
listen with
  bind 127.0.0.1:$with
  server secure 127.0.0.1:$ours ssl verify required ca-file $work/root verifyhost localhost sni str(localhost) crt $work/client-both alpn http/1.1
listen without
  bind 127.0.0.1:$without
  server secure 127.0.0.1:$ours ssl verify required ca-file $work/root verifyhost localhost sni str(localhost)
END
haproxy -db -f "$work/haproxy-2.cfg" >"$work/haproxy-2.log" 2>&1 &
processes+=($!)
listens "$without"
for i in 1 2 3; do
  "${fetch[@]}" "http://127.0.0.1:$with/" | grep -q 'the page of cosock' || die "haproxy with a certificate: $(cat "$log")"
done
prints 'agreed: .* protocol \[http/1.1\], .*, peer \[CN=client\]' 3
prints 'agreed: .* resumed' 2
refuses 'HTTP Error 50[23]' "${fetch[@]}" "http://127.0.0.1:$without/"
prints 'refused: .* the client has sent no certificate'
port=$tls
come '^the page' "${as_client[@]}" protocols imap,http/1.1
grep -q 'agreed: .* protocol \[http/1.1\]' "$work/come" || die "no protocol: $(cat "$work/come")"
come 'agreed: .* protocol \[\]' "${as_client[@]}" protocols imap  # haproxy permits it
come 'refused: '
come 'refused: ' "${as_stranger[@]}"
comes_back "${as_client[@]}"

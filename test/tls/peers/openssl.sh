# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# OpenSSL: s_client and s_server. Sourced by peers.sh.

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

# serve_ssl OPTION...: starts s_server; sets $port.
serve_ssl() {
  free_port
  openssl s_server -accept "127.0.0.1:$port" -cert "$work/server" -key "$work/server.key" "$@" \
    >"$work/s_server.log" 2>&1 &
  processes+=($!)
  listens "$port"
}

# Client certificates, required: accepted and refused.
for version in -tls1_2 -tls1_3; do
  start_peer roots "$work/root" does echo
  client=(openssl s_client -quiet -no_ign_eof -CAfile "$work/root" -connect "127.0.0.1:$port" "$version")
  echoes "${client[@]}" -cert "$work/client" -key "$work/client.key"
  prints 'agreed: .* peer \[CN=client\]'
  # In TLS 1.3 the client learns of it after its handshake, and may have ended with success before.
  timeout 20 "${client[@]}" </dev/null >"$work/out" 2>&1
  prints 'refused: .* the client has sent no certificate'
  timeout 20 "${client[@]}" -cert "$work/stranger" -key "$work/stranger.key" </dev/null >"$work/out" 2>&1
  prints 'refused: .* CN=stranger'

  serve_ssl -quiet -www "$version" -Verify 1 -verify_return_error -CAfile "$work/root"
  come 'HTTP/1.0 200 ok' "${as_client[@]}"
  come 'refused: .*\(certificate is required\|certificate required\|handshake failure\)'
  come 'refused: ' "${as_stranger[@]}"
done

# ALPN: a protocol that both have, and nothing in common.
start_peer protocols h2,http/1.1
client=(openssl s_client -CAfile "$work/root" -connect "127.0.0.1:$port")
timeout 20 "${client[@]}" -alpn imap,http/1.1 </dev/null >"$work/out" 2>&1
grep -q '^ALPN protocol: http/1.1' "$work/out" || die "no protocol: $(cat "$work/out")"
refuses 'no application protocol' "${client[@]}" -alpn imap
prints 'refused: '
serve_ssl -quiet -www -alpn h2,http/1.1
come 'agreed: .* protocol \[http/1.1\]' protocols imap,http/1.1
come 'refused: .*no application protocol' protocols imap

# Resumption by our client.
for version in -tls1_2 -tls1_3; do
  serve_ssl -quiet -www "$version"
  comes_back
done

# New keys, which a server sends: K asks for them in return, k only tells.
mkfifo "$work/commands"
free_port
openssl s_server -tls1_3 -accept "127.0.0.1:$port" -cert "$work/server" -key "$work/server.key" \
  <"$work/commands" >"$work/keys.log" 2>&1 &
processes+=($!)
exec 7>"$work/commands"
listens "$port"
timeout 20 ./tls_peer client "$port" roots "$work/root" does echo >"$work/come" 2>&1 &
processes+=($!)
client=$!
# appears PATTERN: in what the server prints.
appears() {
  for ((i = 0; i != 1000; ++i)); do
    grep -q -- "$1" "$work/keys.log" && return
    sleep 0.01
  done
  die "the server has not printed $1: $(cat "$work/keys.log" "$work/come")"
}
appears 'CIPHER is'
for round in 1 2 3; do
  for command in K k; do
    # Commands are the first letters of what is read at once.
    echo "$command" >&7
    sleep 0.2
    echo "line $round $command" >&7
    appears "^line $round $command"
  done
done
echo Q >&7
exec 7>&-
wait $client || die "after new keys: $(cat "$work/come")"

# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# GnuTLS: gnutls-cli and gnutls-serv. Sourced by peers.sh.

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

tls_1_2=NORMAL:-VERS-ALL:+VERS-TLS1.2
tls_1_3=NORMAL:-VERS-ALL:+VERS-TLS1.3

# serve_gnutls OPTION...: starts gnutls-serv; sets $port.
serve_gnutls() {
  free_port
  gnutls-serv --http --port="$port" --x509certfile="$work/server" --x509keyfile="$work/server.key" "$@" \
    >"$work/gnutls-serv.log" 2>&1 &
  processes+=($!)
  listens "$port"
}

# converse OPTION...: starts gnutls-cli, which connects to $port and obeys lines such as ^rekey^.
conversations=0
converse() {
  said=$work/conversation-$((++conversations))
  mkfifo "$said.in"
  timeout 60 gnutls-cli --x509cafile="$work/root" --port="$port" --inline-commands "$@" localhost \
    <"$said.in" >"$said" 2>&1 &
  processes+=($!)
  exec 7>"$said.in"
}
# says LINE: sends a line, and waits until it has come back.
says() {
  echo "$1" >&7
  for ((i = 0; i != 1000; ++i)); do
    grep -q "^$1" "$said" && return
    sleep 0.01
  done
  die "not sent back: $1: $(cat "$said" "$log")"
}

for priority in $tls_1_2 $tls_1_3; do
  # Client certificates, required: accepted and refused.
  start_peer roots "$work/root" does echo
  client=(gnutls-cli --logfile="$work/gnutls.log" --x509cafile="$work/root" --priority="$priority"
    --port="$port" localhost)
  echoes "${client[@]}" --x509certfile="$work/client" --x509keyfile="$work/client.key"
  prints 'agreed: .* peer \[CN=client\]'
  timeout 20 "${client[@]}" </dev/null >"$work/out" 2>&1
  prints 'refused: .* the client has sent no certificate'
  timeout 20 "${client[@]}" --x509certfile="$work/stranger" --x509keyfile="$work/stranger.key" \
    </dev/null >"$work/out" 2>&1
  prints 'refused: ' 2

  serve_gnutls --priority="$priority" --require-client-cert --verify-client-cert --x509cafile="$work/root"
  come 'HTTP/1.0 200 OK' "${as_client[@]}"
  come 'refused: '
  come 'refused: ' "${as_stranger[@]}"

  # Resumption, with a ticket that travels with the first data.
  start_peer does echo
  converse "--priority=$priority"
  says 'before'
  echo '^resume^' >&7
  prints 'agreed: .* resumed'
  says 'after'
  exec 7>&-
  serve_gnutls --priority="$priority"
  comes_back
done

# ALPN: a protocol that both have, and nothing in common.
start_peer protocols h2,http/1.1
client=(gnutls-cli --x509cafile="$work/root" --port="$port" localhost)
timeout 20 "${client[@]}" --alpn=imap --alpn=http/1.1 </dev/null >"$work/out" 2>&1
prints 'agreed: .* protocol \[http/1.1\]'
refuses 'no.*application protocol' "${client[@]}" --alpn=imap
prints 'refused: '
serve_gnutls --alpn=h2 --alpn=http/1.1 --alpn-fatal
come 'agreed: .* protocol \[http/1.1\]' protocols imap,http/1.1
come 'refused: .*no application protocol' protocols imap

# New keys: of the client alone, and of both.
start_peer does echo
converse --priority=$tls_1_3
for round in 1 2 3; do
  for command in rekey1 rekey; do
    echo "^$command^" >&7
    says "line $round $command"
  done
done
exec 7>&-

# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# curl, a client. Sourced by peers.sh.

needs curl python3
start_web
for version in '--tlsv1.2 --tls-max 1.2' '--tlsv1.3'; do
  # Two requests, the second one over a connection of its own.
  # shellcheck disable=SC2086
  timeout 20 curl -sS --cacert "$work/root" $version "https://localhost:$port/index.html" --next -sS \
    --cacert "$work/root" "https://127.0.0.1:$port/" >"$work/page" 2>"$work/err" || die "$(cat "$work/err")"
  [ "$(grep -c '^the page$' "$work/page")" = 2 ] || die "the pages are: $(cat "$work/page")"
done

# Client certificates, required: accepted and refused.
start_peer roots "$work/root"
get=(curl -sS --cacert "$work/root" "https://localhost:$port/" -v)
for version in '--tlsv1.2 --tls-max 1.2' --tlsv1.3; do
  # shellcheck disable=SC2086
  timeout 20 "${get[@]}" $version --cert "$work/client" --key "$work/client.key" >"$work/page" 2>"$work/err" ||
    die "$(cat "$work/err")"
  grep -q '^the page of cosock' "$work/page" || die "the page is: $(cat "$work/page")"
  # shellcheck disable=SC2086
  refuses 'alert' "${get[@]}" $version
  # shellcheck disable=SC2086
  refuses 'alert' "${get[@]}" $version --cert "$work/stranger" --key "$work/stranger.key"
done
prints 'agreed: .* peer \[CN=client\]' 2
prints 'refused: .* the client has sent no certificate' 2
prints 'refused: ' 4

# ALPN: a protocol that both have, and nothing in common.
start_peer protocols imap,http/1.1
timeout 20 curl -sS --cacert "$work/root" "https://localhost:$port/" >"$work/page" 2>"$work/err" ||
  die "$(cat "$work/err")"
prints 'agreed: .* protocol \[http/1.1\]'
start_peer protocols imap
refuses 'no application protocol' curl -sS --cacert "$work/root" "https://localhost:$port/"
prints 'refused: '

# Resumption: the server closes each connection. In TLS 1.2 curl asks for no tickets.
start_peer
timeout 20 curl -sS --cacert "$work/root" --tlsv1.3 "https://localhost:$port/1" "https://localhost:$port/2" \
  "https://localhost:$port/3" >"$work/page" 2>"$work/err" || die "$(cat "$work/err")"
prints 'agreed: TLS 1.3, .* resumed' 2

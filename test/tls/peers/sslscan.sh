# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# sslscan, which looks at a server. Sourced by peers.sh.

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

# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# testssl.sh, which looks at a server: protocols, cipher suites, forward secrecy and known vulnerabilities,
# without a finding of rank medium or above. Sourced by peers.sh.

needs testssl python3
start_peer
timeout 570 testssl --quiet --color 0 --warnings batch --ip one --openssl-timeout 20 \
  --protocols --std --fs --server-preference --vulnerable \
  --jsonfile "$work/findings" "localhost:$port" >"$work/report" 2>&1 </dev/null
python3 - "$work/findings" <<'END' || die "$(cat "$work/report")"
import json, sys
findings = json.load(open(sys.argv[1]))
# It warns of its own OpenSSL, which lacks what nobody should use.
found = [f for f in findings if f['severity'] in ('MEDIUM', 'HIGH', 'CRITICAL', 'WARN', 'FATAL')
         and f['id'] != 'engine_problem']
for f in found:
    print(f['severity'], f['id'], f['finding'], file=sys.stderr)
# Each of the parts has looked.
ids = {f['id'] for f in findings}
missing = {'SSLv3', 'TLS1_3', 'cipherlist_NULL', 'cipher_order', 'heartbleed', 'ROBOT'} - ids
if missing:
    print('missing:', *missing, file=sys.stderr)
sys.exit(bool(found or missing))
END

# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# stunnel, on either side. Sourced by peers.sh.

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
"${fetch[@]}" "http://127.0.0.1:$port/" | grep -q 'the page' || die "stunnel as the client: $(cat "$work/stunnel.log")"
port=$tls
get_page '^the page'

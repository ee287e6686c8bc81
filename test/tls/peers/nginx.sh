# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# nginx, as a server, and as a proxy that is a client. Sourced by peers.sh.

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
"${fetch[@]}" "http://127.0.0.1:$port/" | grep -q 'the page' || die "nginx as the client: $(cat "$work/nginx.log")"
port=$tls
get_page '^the page'

# Client certificates and ALPN, as the server: without a certificate its answer is the page 400. As the client,
# with and without a certificate, and with connections that are resumed.
start_peer roots "$work/root"
ours=$port
free_port
tls=$port
free_port
with=$port
free_port
without=$port
cat >"$work/nginx-2.conf" <<END
daemon off; master_process off; pid $work/nginx-2.pid; error_log $work/nginx-2.log;
events {}
http {
  access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5; ssl_session_cache shared:sessions:1m;
  proxy_ssl_verify on; proxy_ssl_trusted_certificate $work/root; proxy_ssl_name localhost;
  server { listen 127.0.0.1:$tls ssl; ssl_certificate $work/server; ssl_certificate_key $work/server.key;
    ssl_client_certificate $work/root; ssl_verify_client on; root $work/web; }
  server { listen 127.0.0.1:$with; location / { proxy_pass https://127.0.0.1:$ours;
    proxy_ssl_certificate $work/client; proxy_ssl_certificate_key $work/client.key; } }
  server { listen 127.0.0.1:$without; proxy_ssl_session_reuse off;
    location / { proxy_pass https://127.0.0.1:$ours; } }
}
END
nginx -c "$work/nginx-2.conf" -e "$work/nginx-2.log" >"$work/nginx.out" 2>&1 &
processes+=($!)
listens "$without"
for i in 1 2 3; do
  "${fetch[@]}" "http://127.0.0.1:$with/" | grep -q 'the page of cosock' || die "nginx with a certificate: $(cat "$log")"
done
prints 'agreed: .* peer \[CN=client\]' 3
prints 'agreed: .* resumed' 2
refuses '502' "${fetch[@]}" "http://127.0.0.1:$without/"
prints 'refused: .* the client has sent no certificate'
port=$tls
come '^the page' "${as_client[@]}" protocols imap,http/1.1
grep -q 'agreed: .* protocol \[http/1.1\]' "$work/come" || die "no protocol: $(cat "$work/come")"
come '400 No required SSL certificate was sent'
come '400 The SSL certificate error' "${as_stranger[@]}"
come 'refused: .*no application protocol' "${as_client[@]}" protocols imap
comes_back "${as_client[@]}"

# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# Python's module ssl. Sourced by peers.sh.

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

# Client certificates, required: accepted and refused; and ALPN.
start_peer roots "$work/root" protocols h2,http/1.1 does echo
python3 - "$work" "$port" <<'END' || die "Python's client with a certificate: $(cat "$log")"
import socket, ssl, sys
work, port = sys.argv[1], int(sys.argv[2])

def talk(version, certificate, protocols):
    context = ssl.create_default_context(cafile=work + '/root')
    context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(work + '/' + certificate, work + '/' + certificate + '.key')
    context.set_alpn_protocols(protocols)
    with context.wrap_socket(socket.create_connection(('127.0.0.1', port)), server_hostname='localhost') as s:
        s.sendall(b'hello')
        got = s.recv(5)
        assert got == b'hello', got
        return s.selected_alpn_protocol()

def refused(*arguments):
    try:
        talk(*arguments)
    except (ssl.SSLError, ConnectionError) as e:
        return str(e)
    raise AssertionError('not refused')

for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    assert talk(version, 'client', ['imap', 'http/1.1']) == 'http/1.1'
    refused(version, None, ['http/1.1'])
    refused(version, 'stranger', ['http/1.1'])
    told = refused(version, 'client', ['imap'])
    assert 'NO_APPLICATION_PROTOCOL' in told.upper().replace(' ', '_'), told
END
prints 'agreed: .* protocol \[http/1.1\], new, peer \[CN=client\]' 2
prints 'refused: .* the client has sent no certificate' 2
prints 'refused: ' 6

for version in TLSv1_2 TLSv1_3; do
  free_port
  python3 - "$work" "$port" $version >"$work/python.log" 2>&1 <<'END' &
import socket, ssl, sys
work, port = sys.argv[1], int(sys.argv[2])
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=work + '/root')
context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[3]]
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(work + '/server', work + '/server.key')
context.set_alpn_protocols(['h2', 'http/1.1'])
listener = socket.create_server(('127.0.0.1', port))
while True:
    raw, _ = listener.accept()
    try:
        with context.wrap_socket(raw, server_side=True) as s:
            s.recv(1000)
            s.sendall(b'the page of python')
            s.unwrap()
    except OSError:
        pass  # it is refused
END
  processes+=($!)
  listens "$port"
  come 'the page of python' "${as_client[@]}" protocols imap,http/1.1
  grep -q 'agreed: .* protocol \[http/1.1\]' "$work/come" || die "no protocol: $(cat "$work/come")"
  come 'the page of python' "${as_client[@]}" protocols imap  # Python's server permits it
  grep -q 'agreed: .* protocol \[\]' "$work/come" || die "a protocol: $(cat "$work/come")"
  come 'refused: '
  come 'refused: ' "${as_stranger[@]}"
  comes_back "${as_client[@]}"
done

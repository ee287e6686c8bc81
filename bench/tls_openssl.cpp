// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The floor of TLS: OpenSSL on the sockets of a bare epoll loop. See tls_measure.hpp.

#include "tls_measure.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

void check(bool good, const char* what) {
  if (!good) tls::fail(what);
}

SSL_CTX* make_context(const tls::certificate_pem& pem, bool server) {
  SSL_CTX* const made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  BIO* const text = BIO_new_mem_buf(pem.certificate.data(), -1);
  X509* const certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
  if (server) {
    BIO* const key_text = BIO_new_mem_buf(pem.key.data(), -1);
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(key_text, nullptr, nullptr, nullptr);
    check(SSL_CTX_use_certificate(made, certificate) == 1, "certificate");
    check(SSL_CTX_use_PrivateKey(made, key) == 1, "key");
    EVP_PKEY_free(key);
    BIO_free(key_text);
  } else {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(made), certificate);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nullptr);
    tls::keep_sessions(made);
  }
  X509_free(certificate);
  BIO_free(text);
  return made;
}

struct ends {
  SSL* client;
  SSL* server;
};

/// Reads what is there. False if it would block.
bool read_some(SSL* ssl, std::vector<char>& into, std::size_t& got) {
  return SSL_read_ex(ssl, into.data(), into.size(), &got) == 1;
}

class driver {
 public:
  explicit driver(const tls::certificate_pem& pem)
      : client_(make_context(pem, false)), server_(make_context(pem, true)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    check(bind(listener_, reinterpret_cast<sockaddr*>(&at), size) == 0, "bind");
    check(listen(listener_, 4096) == 0, "listen");
    getsockname(listener_, reinterpret_cast<sockaddr*>(&at_), &size);
  }

  ends connect(bool resume) {
    const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(::connect(one, reinterpret_cast<sockaddr*>(&at_), sizeof at_) == 0, "connect");
    const int other = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ends p{SSL_new(client_), SSL_new(server_)};
    set_up(p.client, one);
    set_up(p.server, other);
    SSL_set1_host(p.client, "localhost");
    SSL_set_tlsext_host_name(p.client, "localhost");
    SSL_set_connect_state(p.client);
    SSL_set_accept_state(p.server);
    if (resume && tls::kept_session) SSL_set_session(p.client, tls::kept_session);
    run(
        p, [&] { return shake(p.client); }, [&] { return shake(p.server); });
    return p;
  }
  static bool is_resumed(const ends& p) { return SSL_session_reused(p.client) == 1; }
  static void close(const ends& p) {
    for (SSL* const one : {p.client, p.server}) {
      const int fd = SSL_get_fd(one);
      SSL_shutdown(one);
      SSL_free(one);
      ::close(fd);
    }
  }
  void round_trips(const ends& p, int count) {
    std::vector<char> in(64);
    std::vector<char> out(64);
    int asked = 0;
    int answered = 0;
    std::size_t n;
    SSL_write_ex(p.client, out.data(), out.size(), &n);
    run(
        p,
        [&] {
          while (asked != count && read_some(p.client, in, n))
            if (++asked != count) SSL_write_ex(p.client, out.data(), out.size(), &n);
          return asked == count;
        },
        [&] {
          while (answered != count && read_some(p.server, in, n)) {
            ++answered;
            SSL_write_ex(p.server, in.data(), n, &n);
          }
          return answered == count;
        });
  }
  void bulk(const ends& p, int mebibytes) {
    const std::vector<char> out(256 << 10);
    std::vector<char> in(256 << 10);
    const std::size_t all = static_cast<std::size_t>(mebibytes) << 20;
    std::size_t sent = 0;
    std::size_t received = 0;
    std::size_t n;
    run(
        p,
        [&] {
          while (sent != all && SSL_write_ex(p.client, out.data() + sent % out.size(),
                                             out.size() - sent % out.size(), &n) == 1)
            sent += n;
          return sent == all;
        },
        [&] {
          while (received != all && read_some(p.server, in, n)) received += n;
          return received == all;
        });
  }

 private:
  /// Runs both functions, each as often as its end is ready, until both return true.
  template <class Client, class Server>
  void run(const ends& p, Client client, Server server) {
    bool client_done = client();
    bool server_done = server();
    epoll_event events[8];
    while (!client_done || !server_done) {
      const int n = epoll_wait(epoll_, events, 8, 1000);
      check(n > 0, "nothing happens");
      for (int i = 0; i != n; ++i) {
        if (events[i].data.fd == SSL_get_fd(p.client)) {
          if (!client_done) client_done = client();
        } else if (!server_done) {
          server_done = server();
        }
      }
    }
  }

  void set_up(SSL* ssl, int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    SSL_set_fd(ssl, fd);
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.fd = fd;
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }
  static bool shake(SSL* ssl) {
    const int result = SSL_do_handshake(ssl);
    if (result == 1) return true;
    const int kind = SSL_get_error(ssl, result);
    check(kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE, "handshake");
    return false;
  }

  SSL_CTX* client_;
  SSL_CTX* server_;
  int listener_ = -1;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  sockaddr_in at_ = {};
};

}  // namespace

int main(int argc, char** argv) { return tls::main<driver>(argc, argv); }

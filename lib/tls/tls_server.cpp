// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The context of servers, and the handshake of one. Each change of a context compiles a new SSL_CTX, and
// then replaces the one that handshakes take; connections keep theirs.

#include <cosock/tls_server.hpp>

#include <cosock/cancel.hpp>
#include <cosock/tcp.hpp>

#include "tls/identity.hpp"
#include "tls/ticket_keys.hpp"
#include "tls/verify.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace cosock {

namespace detail {

/// What connections of one state of a context share.
struct server_core {
  ssl_context_ptr ssl;
  std::shared_ptr<const loaded_identity> identity;
  std::map<std::string, std::shared_ptr<const loaded_identity>, std::less<>> names;
  std::string protocols;
  std::shared_ptr<const key_log> log;
  std::shared_ptr<ticket_keys> tickets;
  bool refuses_unknown = false;

  /// The certificate for a name in lower case; null if there is none.
  const loaded_identity* find(std::string_view name) const {
    if (const auto exact = names.find(name); exact != names.end()) return exact->second.get();
    const std::size_t dot = name.find('.');
    if (dot == name.npos || dot == 0) return nullptr;
    const auto wild = names.find('*' + std::string(name.substr(dot)));
    return wild != names.end() ? wild->second.get() : nullptr;
  }
};

namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (lower.ends_with('.')) lower.pop_back();
  return lower;
}

class server_state final : public verifying_state {
 public:
  std::shared_ptr<const server_core> core;
  const loaded_identity* identity = nullptr;

  void describe(std::string& about, boost::system::error_code& code) override {
    verifying_state::describe(about, code);
    if (!about.empty()) return;
    if (code == tls_errc::certificate_required) about = "the client has sent no certificate";
    if (code == tls_errc::not_tls) about = "the client does not speak TLS";
    if (!unknown_.empty()) {
      code = tls_errc::unrecognized_name;
      about = "the client asks for the name " + unknown_ + ", for which there is no certificate";
    }
  }

  /// Called when the ClientHello is read, whether or not it has a name.
  int choose(SSL* ssl, int* alert) noexcept {
    try {
      const char* const asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      const loaded_identity* found = asked ? core->find(lower_case(asked)) : nullptr;
      if (asked && !found && core->refuses_unknown) {
        unknown_ = printable(asked);
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
      }
      identity = found ? found : core->identity.get();
      if (found && found != core->identity.get() &&
          SSL_use_cert_and_key(ssl, found->parts.certificate.get(), found->parts.key.get(),
                               found->parts.chain.get(), 1) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
      }
      return asked ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
    } catch (...) {
      *alert = SSL_AD_INTERNAL_ERROR;
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
  }

 private:
  const std::vector<key_pin>& pins() const noexcept override {
    static const std::vector<key_pin> none;
    return none;
  }
  bool verifies() const noexcept override { return true; }
  std::string expected_name() const override { return "this client"; }
  std::string unknown_;
};

server_state* server_state_of(const SSL* ssl) noexcept {
  return static_cast<server_state*>(state_of(ssl));
}

int on_name(SSL* ssl, int* alert, void*) {
  server_state* const state = server_state_of(ssl);
  return state ? state->choose(ssl, alert) : SSL_TLSEXT_ERR_NOACK;
}

int on_protocols(SSL* ssl, const unsigned char** chosen, unsigned char* size,
                 const unsigned char* offered, unsigned int offered_size, void*) {
  const server_state* const state = server_state_of(ssl);
  if (!state || state->core->protocols.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, size,
                            reinterpret_cast<const unsigned char*>(state->core->protocols.data()),
                            static_cast<unsigned int>(state->core->protocols.size()), offered,
                            offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

int on_ticket(SSL* ssl, unsigned char* name, unsigned char* vector, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, int encrypts) {
  const server_state* const state = server_state_of(ssl);
  return state ? state->core->tickets->apply(name, vector, cipher, mac, encrypts != 0) : 0;
}

int on_status_request(SSL* ssl, void*) {
  const server_state* const state = server_state_of(ssl);
  if (!state || !state->identity || state->identity->ocsp_response.empty())
    return SSL_TLSEXT_ERR_NOACK;
  const std::string& response = state->identity->ocsp_response;
  // OpenSSL frees the copy.
  void* const copy = OPENSSL_memdup(response.data(), response.size());
  if (!copy) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, static_cast<unsigned char*>(copy),
                                  static_cast<long>(response.size()));
  return SSL_TLSEXT_ERR_OK;
}

void on_secret(const SSL* ssl, const char* line) {
  const server_state* const state = server_state_of(ssl);
  if (state && state->core->log) state->core->log->append(line);
}

/// Certificates or lists that were added, and may come from a file.
struct source {
  std::string pem;  // if there is no path
  std::string path;
  std::string text() const { return path.empty() ? pem : read_file(path); }
  std::string origin() const { return path.empty() ? "memory" : path; }
};

/// What the program has set. Copied, changed and compiled, and kept if that succeeds.
struct server_sources {
  struct entry {
    tls_identity from;
    std::shared_ptr<const loaded_identity> loaded;
    void load() { loaded = identity_access::load(from); }
  };
  std::shared_ptr<entry> identity;
  std::map<std::string, std::shared_ptr<entry>, std::less<>> names;
  std::vector<source> roots;
  std::vector<source> revocation_lists;
  std::string protocols;
  std::shared_ptr<const key_log> log;
  tls_client_certificates asks = tls_client_certificates::none;
  bool refuses_unknown = false;
  bool needs_1_3 = false;

  void load_again() {
    const auto again = [](std::shared_ptr<entry>& one) {
      one = std::make_shared<entry>(*one);
      one->load();
    };
    again(identity);
    for (auto& [name, one] : names) again(one);
  }
};

void set_client_verification(SSL_CTX* context, const server_sources& from) {
  trust trusted;
  for (const source& one : from.roots) trusted.add_roots(one.text(), one.origin());
  for (const source& one : from.revocation_lists)
    trusted.add_revocation_lists(one.text(), one.origin());
  trusted.put_into(context);
  // A session carries the certificate of its client. It is not resumed where other authorities are
  // trusted.
  std::string all(1, static_cast<char>(from.asks));
  for (const certificate_ptr& one : trusted.roots) {
    SSL_CTX_add_client_CA(context, one.get());
    const auto pin = key_pin_of(one.get());
    all.append(pin.begin(), pin.end());
  }
  for (const source& one : from.revocation_lists) all += one.text();
  unsigned char id[32];
  EVP_Digest(all.data(), all.size(), id, nullptr, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(context, id, sizeof id);
  int mode = SSL_VERIFY_NONE;
  if (from.asks != tls_client_certificates::none) mode = SSL_VERIFY_PEER;
  if (from.asks == tls_client_certificates::required) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context, mode, nullptr);
}

}  // namespace

class tls_server_settings {
 public:
  /// Changes the settings: all or nothing.
  template <class F>
  void change(F f) {
    const std::lock_guard changing(changing_);
    server_sources changed = sources_;
    f(changed);
    std::shared_ptr<const server_core> made = compile(changed);
    sources_ = std::move(changed);
    const std::lock_guard lock(mutex_);
    core_.swap(made);
  }

  std::shared_ptr<const server_core> core() const {
    const std::lock_guard lock(mutex_);
    return core_;
  }

 private:
  std::shared_ptr<const server_core> compile(const server_sources& from) const {
    auto made = std::make_shared<server_core>();
    made->ssl = new_context(TLS_server_method(), from.needs_1_3);
    made->identity = from.identity->loaded;
    for (const auto& [name, one] : from.names) made->names.emplace(name, one->loaded);
    made->protocols = from.protocols;
    made->log = from.log;
    made->tickets = tickets_;
    made->refuses_unknown = from.refuses_unknown;
    SSL_CTX* const context = made->ssl.get();
    // Forward secrecy and authenticated encryption only.
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    // Without the groups of finite fields, which cost a server a hundred times as much as a client. The
    // first one, which only newer versions know, withstands quantum computers.
    if (SSL_CTX_set1_groups_list(context, "?X25519MLKEM768:X25519:P-256:X448:P-384:P-521") != 1)
      SSL_CTX_set1_groups_list(context, "X25519:P-256:X448:P-384:P-521");
    ERR_clear_error();
    set_client_verification(context, from);
    made->identity->use_in(context);
    SSL_CTX_set_tlsext_servername_callback(context, on_name);
    SSL_CTX_set_alpn_select_cb(context, on_protocols, nullptr);
    SSL_CTX_set_tlsext_status_cb(context, on_status_request);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, ticket_keys::lifetime.count());
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    SSL_CTX_set_num_tickets(context, 0);  // they are sent with the first data
    if (from.log) SSL_CTX_set_keylog_callback(context, on_secret);
    return made;
  }

  std::mutex changing_;
  server_sources sources_;
  mutable std::mutex mutex_;
  std::shared_ptr<const server_core> core_;
  const std::shared_ptr<ticket_keys> tickets_ = std::make_shared<ticket_keys>();
};

tls_server_settings& tls_access::settings(const tls_server_context& context) {
  return *context.settings_;
}

namespace {

std::string peer_text(const byte_stream& stream) {
  if (const auto* const tcp = dynamic_cast<const tcp_socket*>(&stream)) {
    try {
      return tcp->remote_endpoint().to_string();
    } catch (const boost::system::system_error&) {
      // Lost before it was accepted.
    }
  }
  return "client";
}

task<tls_stream> shake_as_server(std::shared_ptr<const server_core> core,
                                 std::unique_ptr<byte_stream> stream, bool accept_truncation) {
  ssl_ptr ssl(not_null(SSL_new(core->ssl.get())));
  SSL_set_accept_state(ssl.get());
  auto state = std::make_unique<server_state>();
  state->core = std::move(core);
  state->peer = peer_text(*stream);
  co_return co_await tls_access::shake_hands(std::move(stream), std::move(ssl), std::move(state),
                                             accept_truncation);
}

std::shared_ptr<server_sources::entry> load(const tls_identity& identity) {
  auto made = std::make_shared<server_sources::entry>(server_sources::entry{identity, nullptr});
  made->load();
  return made;
}

}  // namespace

task<> serve_tls(const tls_server_context& context, owner<byte_stream> stream,
                 tls_accept_options options, tls_handler_call handler, const tls_facts** facts) {
  // Destroyed at the end, with its transport, whose connection serve() then ends in order.
  tls_stream secured = co_await tls_accept(context, std::move(stream), options);
  std::optional<tls_facts> known;
  struct publication {
    const tls_facts** place;
    ~publication() {
      if (place) *place = nullptr;
    }
  } const published{facts};
  if (facts) *facts = &known.emplace(secured.facts());
  co_await handler.call(handler.handler, secured, handler.connection);
  failure lost;
  io_object* const& object = stream_access::object_of(secured);
  if (!secured.is_open() || object->is_flushed(lost)) co_return;
  // A rest of send_some(). That it cannot leave is no error of the server.
  constexpr auto limit = std::chrono::seconds(2);
  static_cast<void>(co_await as_result(with_timeout(limit, stream_flush_operation(object))));
}

}  // namespace detail

tls_server_context::tls_server_context(const tls_identity& identity)
    : settings_(std::make_unique<detail::tls_server_settings>()) {
  settings_->change([&](auto& s) { s.identity = detail::load(identity); });
}
tls_server_context::~tls_server_context() = default;

void tls_server_context::add(std::string_view name, const tls_identity& identity) {
  std::string key = detail::lower_case(name);
  if (key.empty()) throw std::invalid_argument("cosock: a certificate for an empty name");
  settings_->change([&](auto& s) { s.names[key] = detail::load(identity); });
}
void tls_server_context::set_unknown_name(tls_unknown_name behavior) {
  settings_->change([&](auto& s) { s.refuses_unknown = behavior == tls_unknown_name::refuse; });
}
void tls_server_context::set_client_certificates(tls_client_certificates asks) {
  settings_->change([&](auto& s) { s.asks = asks; });
}
void tls_server_context::add_client_roots(std::string_view pem) {
  settings_->change([&](auto& s) { s.roots.push_back({std::string(pem), {}}); });
}
void tls_server_context::add_client_roots_file(const std::string& path) {
  settings_->change([&](auto& s) { s.roots.push_back({{}, path}); });
}
void tls_server_context::add_revocation_lists(std::string_view pem) {
  settings_->change([&](auto& s) { s.revocation_lists.push_back({std::string(pem), {}}); });
}
void tls_server_context::add_revocation_lists_file(const std::string& path) {
  settings_->change([&](auto& s) { s.revocation_lists.push_back({{}, path}); });
}
void tls_server_context::set_protocols(std::initializer_list<std::string_view> names) {
  settings_->change([&](auto& s) { s.protocols = detail::encode_protocols(names); });
}
void tls_server_context::set_protocols(std::span<const std::string> names) {
  settings_->change([&](auto& s) { s.protocols = detail::encode_protocols(names); });
}
void tls_server_context::set_min_version(tls_version lowest) {
  settings_->change([&](auto& s) { s.needs_1_3 = lowest == tls_version::tls_1_3; });
}
void tls_server_context::set_key_log_file(const std::string& path) {
  settings_->change([&](auto& s) { s.log = std::make_shared<const detail::key_log>(path); });
}
void tls_server_context::reload() {
  settings_->change([](auto& s) { s.load_again(); });
}

task<tls_stream> tls_accept(const tls_server_context& context, detail::owner<byte_stream> stream,
                            tls_accept_options options) {
  auto core = detail::tls_access::settings(context).core();
  if (!stream) throw std::invalid_argument("cosock: no stream for TLS");
  co_return co_await with_timeout(
      options.timeout,
      detail::shake_as_server(std::move(core), std::unique_ptr<byte_stream>(stream.release()),
                              options.accept_truncation));
}

}  // namespace cosock

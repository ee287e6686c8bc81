// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The context of clients, and the two ways to make a connection. A context is compiled to an SSL_CTX when a
// handshake begins after a change; handshakes share that, and keep it.

#include <cosock/tls_client.hpp>

#include <cosock/cancel.hpp>
#include <cosock/connect.hpp>

#include "tls/identity.hpp"
#include "tls/session_cache.hpp"
#include "tls/verify.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace cosock {

namespace detail {

namespace {

/// What connections of one state of a context share.
struct client_core {
  explicit client_core(std::size_t max_sessions) noexcept : cache(max_sessions) {}
  ssl_context_ptr ssl;
  std::vector<key_pin> pins;
  std::shared_ptr<const loaded_identity> identity;
  std::shared_ptr<const key_log> log;
  bool verifies = true;
  mutable session_cache cache;
};

class client_state final : public verifying_state {
 public:
  std::shared_ptr<const client_core> core;
  std::string name;    // that the certificate has to be for
  std::string server;  // the key of the cache; empty: sessions are not kept

 private:
  const std::vector<key_pin>& pins() const noexcept override { return core->pins; }
  bool verifies() const noexcept override { return core->verifies; }
  std::string expected_name() const override { return name; }
};

client_state* client_state_of(const SSL* ssl) noexcept {
  return static_cast<client_state*>(state_of(ssl));
}

/// Returns 1 if it has taken the reference to the session.
int on_session(SSL* ssl, SSL_SESSION* session) {
  client_state* const state = client_state_of(ssl);
  if (!state || state->server.empty() || SSL_SESSION_is_resumable(session) != 1) return 0;
  session_ptr owned(session);
  try {
    state->core->cache.put(state->server, std::move(owned));
    return 1;
  } catch (...) {
    static_cast<void>(owned.release());
    return 0;
  }
}

int on_ocsp_response(SSL* ssl, void*) {
  client_state* const state = client_state_of(ssl);
  return state ? state->verify_response(ssl) : 1;
}

void on_secret(const SSL* ssl, const char* line) {
  const client_state* const state = client_state_of(ssl);
  if (state && state->core->log) state->core->log->append(line);
}

}  // namespace

class tls_client_settings {
 public:
  explicit tls_client_settings(tls_roots roots) noexcept : roots_(roots) {}

  /// Changes the settings. `f` throws, if it does, before it changes anything.
  template <class F>
  void change(F f) {
    const std::lock_guard lock(mutex_);
    f(*this);
    core_.reset();
  }

  std::shared_ptr<const client_core> core() {
    const std::lock_guard lock(mutex_);
    if (!core_) core_ = compile();
    return core_;
  }

  trust trusted;
  std::vector<key_pin> pins;
  std::shared_ptr<const loaded_identity> identity;
  std::string protocols;
  std::shared_ptr<const key_log> log;
  std::size_t max_sessions = 256;
  bool needs_1_3 = false;
  bool verifies = true;

 private:
  std::shared_ptr<const client_core> compile() const {
    auto made = std::make_shared<client_core>(max_sessions);
    made->ssl = new_context(TLS_client_method(), needs_1_3);
    made->pins = pins;
    made->identity = identity;
    made->log = log;
    made->verifies = verifies;
    SSL_CTX* const context = made->ssl.get();
    SSL_CTX_set_cipher_list(context, "ECDHE:DHE:!aNULL:!eNULL:!PSK:!SRP:!DSS:!3DES");
    if (roots_ == tls_roots::system) SSL_CTX_set_default_verify_paths(context);
    trusted.put_into(context);
    const bool checks = verifies || !pins.empty();
    SSL_CTX_set_verify(context, checks ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    if (!protocols.empty())
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned int>(protocols.size()));
    if (identity) identity->use_in(context);
    SSL_CTX_set_tlsext_status_type(context, TLSEXT_STATUSTYPE_ocsp);
    SSL_CTX_set_tlsext_status_cb(context, on_ocsp_response);
    // A resumed session has no response: its certificate was verified when the session began.
    SSL_CTX_set_session_cache_mode(
        context, max_sessions == 0 ? SSL_SESS_CACHE_OFF
                                   : SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    if (log) SSL_CTX_set_keylog_callback(context, on_secret);
    return made;
  }

  std::mutex mutex_;
  std::shared_ptr<const client_core> core_;  // null: to be compiled
  const tls_roots roots_;
};

namespace {

key_pin parse_pin(std::string_view text) {
  key_pin pin = {};
  const auto refuse = [] {
    throw std::invalid_argument("cosock: a pin is a SHA-256 in base64 or hexadecimal");
  };
  if (text.size() == 64) {
    for (std::size_t i = 0; i != 64; ++i) {
      const int digit = OPENSSL_hexchar2int(static_cast<unsigned char>(text[i]));
      if (digit < 0) refuse();
      pin[i / 2] = static_cast<unsigned char>(pin[i / 2] << 4 | digit);
    }
    return pin;
  }
  unsigned char decoded[48];
  // 32 bytes are 43 digits and a sign of padding.
  if (text.size() != 44 || text.back() != '=' || text[42] == '=' ||
      EVP_DecodeBlock(decoded, reinterpret_cast<const unsigned char*>(text.data()), 44) != 33)
    refuse();
  std::copy_n(decoded, pin.size(), pin.begin());
  return pin;
}

/// The name to verify: without the dot at the end, and without the zone of an address.
std::string verified_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.find('\0') != host.npos)
    throw std::invalid_argument("cosock: a TLS client needs the name of the server");
  return std::string(host);
}

/// Tells OpenSSL which name to ask for and to verify. An empty name would verify nothing.
void set_name(SSL* ssl, const std::string& name, bool verifies) {
  address numeric;
  const bool is_address = address::try_parse(name, numeric);
  clear_openssl_errors();
  X509_VERIFY_PARAM* const checked = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      checked, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const std::string without_zone = name.substr(0, name.find('%'));
  bool good = is_address ? X509_VERIFY_PARAM_set1_ip_asc(checked, without_zone.c_str()) == 1
                         : X509_VERIFY_PARAM_set1_host(checked, name.data(), name.size()) == 1;
  if (!good && verifies)
    throw std::invalid_argument("cosock: not a name that can be verified: " + printable(name));
  if (!is_address && SSL_set_tlsext_host_name(ssl, name.c_str()) != 1)
    throw std::invalid_argument("cosock: not the name of a server: " + printable(name));
}

task<tls_stream> shake(std::shared_ptr<const client_core> core, std::unique_ptr<byte_stream> stream,
                       std::string name, std::string peer, std::uint16_t port, bool resume,
                       bool accept_truncation) {
  ssl_ptr ssl(not_null(SSL_new(core->ssl.get())));
  set_name(ssl.get(), name, core->verifies);
  SSL_set_connect_state(ssl.get());
  auto state = std::make_unique<client_state>();
  state->core = core;
  state->name = std::move(name);
  state->peer = printable(std::move(peer));
  if (resume) state->server = state->name + '\n' + std::to_string(port);
  if (const session_ptr kept = resume ? core->cache.take(state->server) : nullptr)
    SSL_set_session(ssl.get(), kept.get());
  co_return co_await tls_access::shake_hands(std::move(stream), std::move(ssl), std::move(state),
                                             accept_truncation);
}

}  // namespace

tls_client_settings& tls_access::settings(const tls_client_context& context) {
  return *context.settings_;
}

}  // namespace detail

using detail::tls_client_settings;

tls_client_context::tls_client_context(tls_roots trusted)
    : settings_(std::make_unique<tls_client_settings>(trusted)) {}
tls_client_context::~tls_client_context() = default;

void tls_client_context::add_roots(std::string_view pem) {
  settings_->change([&](auto& s) { s.trusted.add_roots(pem, "roots in memory"); });
}
void tls_client_context::add_roots_file(const std::string& path) {
  settings_->change([&](auto& s) { s.trusted.add_roots(detail::read_file(path), path); });
}
void tls_client_context::add_revocation_lists(std::string_view pem) {
  settings_->change(
      [&](auto& s) { s.trusted.add_revocation_lists(pem, "revocation lists in memory"); });
}
void tls_client_context::add_revocation_lists_file(const std::string& path) {
  settings_->change(
      [&](auto& s) { s.trusted.add_revocation_lists(detail::read_file(path), path); });
}
void tls_client_context::add_pin(std::string_view sha256) {
  settings_->change([&](auto& s) { s.pins.push_back(detail::parse_pin(sha256)); });
}
void tls_client_context::set_certificate(const tls_identity& identity) {
  settings_->change([&](auto& s) { s.identity = detail::identity_access::load(identity); });
}
void tls_client_context::set_protocols(std::initializer_list<std::string_view> names) {
  settings_->change([&](auto& s) { s.protocols = detail::encode_protocols(names); });
}
void tls_client_context::set_protocols(std::span<const std::string> names) {
  settings_->change([&](auto& s) { s.protocols = detail::encode_protocols(names); });
}
void tls_client_context::set_min_version(tls_version lowest) {
  settings_->change([&](auto& s) { s.needs_1_3 = lowest == tls_version::tls_1_3; });
}
void tls_client_context::set_max_sessions(std::size_t count) {
  settings_->change([&](auto& s) { s.max_sessions = count; });
}
void tls_client_context::set_key_log_file(const std::string& path) {
  settings_->change([&](auto& s) { s.log = std::make_shared<const detail::key_log>(path); });
}
void tls_client_context::dangerously_disable_verification() {
  settings_->change([&](auto& s) { s.verifies = false; });
}

namespace {

task<tls_stream> connect_and_shake(std::shared_ptr<const detail::client_core> core,
                                   std::string host, std::uint16_t port,
                                   tls_connect_options options) {
  std::string name = detail::verified_name(options.name.empty() ? host : options.name);
  std::string peer = host.find(':') == host.npos ? host : '[' + host + ']';
  peer += ':' + std::to_string(port);
  tcp_socket socket = co_await connect(std::move(host), port, options.tcp);
  std::unique_ptr<byte_stream> stream = std::make_unique<tcp_socket>(std::move(socket));
  co_return co_await detail::shake(std::move(core), std::move(stream), std::move(name),
                                   std::move(peer), port, options.resume,
                                   options.accept_truncation);
}

}  // namespace

task<tls_stream> tls_connect(const tls_client_context& context, std::string host,
                             std::uint16_t port, tls_connect_options options) {
  auto core = detail::tls_access::settings(context).core();
  co_return co_await with_timeout(
      options.timeout, connect_and_shake(std::move(core), std::move(host), port, options));
}

task<tls_stream> tls_over(const tls_client_context& context, detail::owner<byte_stream> stream,
                          std::string host, tls_over_options options) {
  auto core = detail::tls_access::settings(context).core();
  std::string name = detail::verified_name(host);
  if (!stream) throw std::invalid_argument("cosock: no stream for TLS");
  co_return co_await with_timeout(
      options.timeout,
      detail::shake(std::move(core), std::unique_ptr<byte_stream>(stream.release()),
                    std::move(name), host, 0, options.resume, options.accept_truncation));
}

}  // namespace cosock

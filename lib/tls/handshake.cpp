// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The handshake of both sides, the callbacks that both have, and how a handshake that fails is told.

#include "tls/tls_object.hpp"

#include <cosock/time.hpp>
#include <cosock/tls_stream.hpp>

#include <memory>

namespace cosock::detail {

tls_session_state::~tls_session_state() = default;
void tls_session_state::describe(std::string&, boost::system::error_code&) {}

namespace {

/// TLS 1.3 ignores the level of alerts.
bool is_failure(const SSL* ssl, int level, int alert) noexcept {
  if (SSL_version(ssl) != TLS1_3_VERSION) return level == SSL3_AL_FATAL;
  return alert != SSL_AD_CLOSE_NOTIFY && alert != SSL_AD_USER_CANCELLED;
}

int state_index() noexcept {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

/// What arrives from the peer besides data: its alerts, and messages after the handshake.
void on_state(const SSL* ssl, int where, int value) {
  tls_session_state* const state = state_of(ssl);
  if (!state || !state->engine) return;
  if ((where & SSL_CB_LOOP) != 0)
    state->engine->count_message();
  else if (where == SSL_CB_READ_ALERT && is_failure(ssl, value >> 8, value & 0xff))
    state->alert = static_cast<std::uint8_t>(value & 0xff);
}

/// Throws what has ended a handshake: the error of the transport, or its end.
[[noreturn]] void raise_lost(const tls_session_state& state, const failure& why) {
  const boost::system::error_code code = to_error_code(why);
  throw tls_error(code,
                  state.peer + (code == tls_errc::truncated
                                    ? ": the peer closed the connection during the TLS handshake"
                                    : ": TLS handshake"),
                  std::nullopt);
}

/// Throws what OpenSSL has refused, or the peer.
[[noreturn]] void raise_refused(tls_session_state& state) {
  if (state.alert)
    throw tls_error(
        code_of_alert(*state.alert),
        state.peer + ": the peer refused the TLS handshake: " + text_of_alert(*state.alert),
        state.alert);
  boost::system::error_code code = code_of(ERR_peek_error());
  std::string about;
  state.describe(about, code);
  if (about.empty()) {
    about = code == tls_errc::internal || code == tls_errc::protocol
                ? "the TLS handshake failed: " + openssl_error_text()
                : code.message() + " (" + openssl_error_text() + ")";
  }
  ERR_clear_error();
  throw tls_error(code, state.peer + ": " + about, std::nullopt);
}

}  // namespace

tls_session_state* state_of(const SSL* ssl) noexcept {
  return static_cast<tls_session_state*>(SSL_get_ex_data(ssl, state_index()));
}

void tls_object::attach(std::unique_ptr<tls_session_state> state) {
  if (SSL_set_ex_data(ssl_.get(), state_index(), state.get()) != 1) throw std::bad_alloc();
  session_ = std::move(state);
  session_->engine = this;
}

void set_callbacks(SSL_CTX* context) { SSL_CTX_set_info_callback(context, on_state); }

task<> tls_object::handshake(bool accept_truncation) {
  for (;;) {
    clear_openssl_errors();
    reads_left_ = max_reads;
    pauses_ = false;
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) {
      const int kind = SSL_get_error(ssl_.get(), result);
      if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
        flush();  // the alert
        if (kind == SSL_ERROR_ZERO_RETURN) raise_lost(*session_, tls_failure(tls_errc::truncated));
        raise_refused(*session_);
      }
    }
    // A peer that has refused us may have closed: its alert is read before an error of the write counts.
    while (!out_.empty()) {
      if (flush()) break;
      co_await transport_->wait_writable();
    }
    if (result == 1) break;
    if (in_failed_) raise_lost(*session_, in_failed_);
    if (transport_ended_)
      raise_lost(*session_, out_failed_ ? out_failed_ : tls_failure(tls_errc::truncated));
    if (pauses_)
      co_await yield();
    else
      co_await transport_->wait_readable();
  }
  connected_ = needs_close_notify = true;
  accept_truncation_ = accept_truncation;
  owes_tickets_ = SSL_is_server(ssl_.get()) && SSL_version(ssl_.get()) == TLS1_3_VERSION;
  maybe_ready[reading] = may_read_more();
}

task<tls_stream> tls_access::shake_hands(std::unique_ptr<byte_stream> stream, ssl_ptr ssl,
                                         std::unique_ptr<tls_session_state> state,
                                         bool accept_truncation) {
  const std::string about = state->peer + ": TLS handshake";
  auto engine = std::make_unique<tls_object>(std::move(stream), std::move(ssl));
  engine->attach(std::move(state));
  try {
    co_await engine->handshake(accept_truncation);
  } catch (const tls_error&) {
    throw;
  } catch (const boost::system::system_error& e) {
    throw tls_error(e.code(), about, std::nullopt);
  }
  co_return make(std::move(engine));
}

}  // namespace cosock::detail

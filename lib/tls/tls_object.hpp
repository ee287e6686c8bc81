// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The io_object behind a tls_stream: OpenSSL's engine over the object of another stream. It owns both.
// Made by the handshakes of tls_client.cpp and tls_server.cpp, and called by operations of the stream.

#include <cosock/stream.hpp>
#include <cosock/tls_error.hpp>

#include "tls/openssl.hpp"

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace cosock {
class tls_client_context;
class tls_server_context;
class tls_stream;
}  // namespace cosock

namespace cosock::detail {

inline failure closed_stream() noexcept {
  return {static_cast<int>(error::closed), &own_category()};
}
inline failure system_code(int number) noexcept {
  return {number, &boost::system::system_category()};
}

class tls_client_settings;
class tls_object;
class tls_server_settings;
struct tls_session_state;

/// Waits until one direction of the transport is ready, and tells the engine. It is an operation of the
/// transport that no coroutine awaits. It may wait when no operation of the tls_stream does: after a
/// cancellation, and while the rest of a record is left.
class transport_watch final : public io_operation {
 public:
  explicit transport_watch(tls_object& engine) noexcept : engine_(engine) {}
  bool waits() const noexcept { return object_ != nullptr; }
  void start(io_object& transport, io_direction direction);
  void stop() noexcept;
  void fire() override;

 private:
  step attempt() override { return step::done; }
  tls_object& engine_;
  cancel_node never_cancelled_;
};

/// The engine. OpenSSL never sees an error or the end of the transport, and a write of its records never
/// fails or waits: what the transport does not take is kept in `out_`. So one direction cannot disturb the
/// other, an operation that was cancelled leaves nothing behind in OpenSSL, and no record is cut.
class tls_object final : public io_object, private loop_service {
 public:
  /// Takes the transport, which is open, and an SSL for one side.
  tls_object(std::unique_ptr<byte_stream> transport, ssl_ptr ssl);
  ~tls_object();

  SSL* ssl() const noexcept { return ssl_.get(); }
  byte_stream& transport() const noexcept { return *transport_; }
  /// The state of the handshake, which the callbacks of OpenSSL use.
  const tls_session_state& state() const noexcept { return *session_; }
  void attach(std::unique_ptr<tls_session_state> state);

  /// The handshake: waits as long as it takes. Throws tls_error, or the errors of the transport.
  /// `server`: tickets are sent with the first data, or before close_notify, so that they never fill a transport
  /// that nobody reads, or reach a peer that has closed. Cancelled: only destruction is possible.
  task<> handshake(bool accept_truncation);

  void end_sending();
  /// Says goodbye if that needs no wait, and closes. `keeps`: the transport is destroyed instead of
  /// closed, so that serve() ends the connection in order.
  void close(bool keeps) noexcept;

  void arm(io_direction) override;
  step transfer(stream_operation&) override;
  step try_transfer(stream_operation&) override;
  bool is_ready(io_direction) noexcept override;
  bool is_flushed(failure&) noexcept override;
  bool may_finish() noexcept override;
  bool forgives_lost_peer() const noexcept override { return true; }
  void count_into(byte_counter&) noexcept override;

  // For the BIO, and for transport_watch.
  int read_transport(char* into, std::size_t size, std::size_t& got) noexcept;
  int write_transport(const char* from, std::size_t size, std::size_t& taken) noexcept;
  void transport_ready(transport_watch& watch) noexcept;
  /// OpenSSL handles a message of the handshake protocol. After the handshake these are counted.
  void count_message() noexcept;

 private:
  /// The most that one record holds.
  static constexpr std::size_t max_record = 16 << 10;
  /// The most that may be left to write before reading waits: answers to requests for new keys.
  static constexpr std::size_t max_left = 32 << 10;
  /// Reads of the transport in one call of OpenSSL. A peer could keep it busy with messages.
  static constexpr int max_reads = 8;
  /// Messages without data in a row, after which the connection fails: tickets, new keys. An answer
  /// counts too.
  static constexpr int max_messages = 100;

  void on_loop_shutdown() noexcept override;
  io_object* below() const noexcept;
  step receive(stream_operation&) noexcept;
  step send(stream_operation&) noexcept;
  std::size_t take_chunk(const stream_operation&, std::array<char, max_record>& joined,
                         const void*& chunk) const;
  /// Reads a record into memory, or looks whether there is one. Returns the bytes; 0 with a failure, at
  /// the end of the stream (`ended_`), or if it would wait.
  std::size_t read_record(void* into, std::size_t size, bool peek, failure& why) noexcept;
  failure failure_of_ssl() noexcept;
  bool may_read_more() const noexcept;
  /// Writes what is left. False if some is still left.
  bool flush() noexcept;
  void keep_flushing() noexcept;
  void add_tickets() noexcept;
  /// Writes close_notify.
  void send_goodbye() noexcept;
  /// The same if it can leave now and may.
  void say_goodbye() noexcept;
  void discard_waiting_input() noexcept;

  std::unique_ptr<byte_stream> transport_;
  std::unique_ptr<tls_session_state> session_;
  ssl_ptr ssl_;
  std::vector<char> out_;  // records, or the rest of one, that the transport has not taken
  std::size_t out_begin_ = 0;
  transport_watch in_watch_{*this};
  transport_watch out_watch_{*this};
  failure in_failed_ = {0, nullptr};   // of the transport
  failure out_failed_ = {0, nullptr};  // of the transport
  failure failed_ = {0, nullptr};      // of the protocol: both directions
  int reads_left_ = 0;
  int messages_ = 0;
  bool connected_ = false;        // the handshake is over
  bool transport_ended_ = false;  // without close_notify
  bool ended_ = false;            // the end that receive() reports
  bool shut_ = false;             // close_notify is sent
  bool probes_ = false;           // reads although readiness was not reported
  bool pauses_ = false;           // reading stopped because of max_reads
  bool waits_for_room_ = false;   // reading stopped because of max_left
  bool accept_truncation_ = false;
  bool owes_tickets_ = false;
};

/// How tls_stream and its makers reach each other.
struct tls_session_state;

struct tls_access {
  /// The handshake of either side over a stream. Throws tls_error, which names the peer of the state.
  static task<tls_stream> shake_hands(std::unique_ptr<byte_stream> stream, ssl_ptr ssl,
                                      std::unique_ptr<tls_session_state> state,
                                      bool accept_truncation);
  static tls_stream make(std::unique_ptr<tls_object> secured);
  static tls_client_settings& settings(const tls_client_context&);
  static tls_server_settings& settings(const tls_server_context&);
};

/// The BIO over a tls_object.
BIO* new_transport_bio(tls_object& engine);

/// What a handshake has to know, and what it finds out. OpenSSL's callbacks reach it through
/// state_of(). It lives as long as the connection.
struct tls_session_state {
  tls_session_state() = default;
  tls_session_state(const tls_session_state&) = delete;
  virtual ~tls_session_state();
  /// The error of a handshake that this side has refused, with its text; nothing if OpenSSL's is
  /// right.
  virtual void describe(std::string& about, boost::system::error_code& code);

  tls_object* engine = nullptr;       // null: the connection is closed
  std::string peer;                   // for texts: "example.org:443"
  std::optional<std::uint8_t> alert;  // that the peer has sent
};

tls_session_state* state_of(const SSL* ssl) noexcept;

/// The code of a tls_errc, as operations keep it.
failure tls_failure(tls_errc) noexcept;
/// The code for an alert of the peer.
tls_errc code_of_alert(int alert) noexcept;
/// The text of an alert, such as "certificate expired (alert 45)".
std::string text_of_alert(int alert);
/// The code for an error of OpenSSL's queue.
tls_errc code_of(unsigned long error) noexcept;
/// Callbacks that all contexts have.
void set_callbacks(SSL_CTX* context);

}  // namespace cosock::detail

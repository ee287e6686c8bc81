// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/finish.hpp>
#include <cosock/stream.hpp>

#include <memory>
#include <string>

namespace cosock {

struct tls_facts;

namespace detail {
class tls_object;
struct tls_access;
}  // namespace detail

/// A TLS connection over another stream, which it owns: TCP, a local socket, memory, another
/// tls_stream. Made by tls_connect(), tls_over(), tls_accept(), or by with_tls() for a handler. Every
/// function of byte_stream works, with these properties:
///
/// receive() returns 0 only after the peer has sent close_notify. If the transport ends without it, data
/// may be missing, because everybody between the two can end a connection: receive() fails with
/// tls_errc::truncated, unless the option accept_truncation is set.
///
/// send() returns when the transport has taken the last record. Cancelled: the bytes that
/// transfer_error reports are those of complete records. If a part of a record is left, the stream
/// sends it as soon as the transport has room, before anything else. send_some() may return while a
/// part of its record is left.
///
/// shutdown_send() sends close_notify; receiving continues. close() sends close_notify if the transport
/// takes it at once, and closes the transport; it does not wait. After a receive has failed it sends none,
/// so that data which was not sent for that reason is not taken for complete. What is left of a record,
/// after send_some() or a send that was cancelled, close() sends if the transport takes it at once.
/// If not, the record is cut, and the peer reports tls_errc::truncated; finish() waits and sends it.
/// The destructor does the same as close(), and destroys the transport.
///
/// finish() sends what is left and close_notify, then waits for the close_notify of the peer. A peer that
/// has gone, or ends the connection without close_notify, is no error: finish() returns false. It
/// throws `error::timed_out` if what is left could not be sent within the limit.
///
/// wait_peer_closed() fails with operation_not_supported. Renegotiation by a peer that uses TLS 1.2 is
/// refused. After a violation of the protocol both directions fail with its code; after an error of the
/// transport, bytes that have arrived can still be received.
class COSOCK_API tls_stream final : public byte_stream {
 public:
  /// Closed.
  tls_stream() noexcept;
  /// May be moved while operations are pending.
  tls_stream(tls_stream&& other) noexcept;
  tls_stream& operator=(tls_stream&& other) noexcept;
  ~tls_stream() override;

  void shutdown_send() override;
  void close() noexcept override;

  /// The results of the handshake, with the certificate of the peer; needs <cosock/tls_facts.hpp>, which
  /// <cosock/tls.hpp> includes. This and the functions below throw
  /// `error::closed` on a stream that was closed or moved from.
  [[nodiscard]] tls_facts facts() const;
  /// The application protocol that both sides have agreed on (ALPN); empty if they have not.
  [[nodiscard]] std::string protocol() const;
  /// Whether the handshake has resumed an earlier session.
  [[nodiscard]] bool is_resumed() const;
  /// The stream below: for its address, for example.
  [[nodiscard]] const byte_stream& transport() const;

 private:
  friend struct detail::tls_access;
  explicit tls_stream(std::unique_ptr<detail::tls_object>) noexcept;
  const detail::tls_object& open() const;
  std::unique_ptr<detail::tls_object> secured_;
};

}  // namespace cosock

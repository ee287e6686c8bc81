// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/finish.hpp>
#include <cosock/stream.hpp>

#include <string>

namespace cosock {

struct tls_facts;

namespace detail {
class tls_object;
struct tls_access;
}  // namespace detail

/// A TLS connection over another stream, the transport, which it owns: TCP, a local socket, memory, or
/// another tls_stream. Made by tls_connect(), tls_over(), tls_accept(), and by with_tls() for a handler.
/// The functions of byte_stream have these additional properties:
///
/// receive() returns 0 only after the peer has sent close_notify. If the transport ends without
/// close_notify, an attacker may have cut the connection, and data may be missing: receive() fails with
/// tls_errc::truncated, unless the option accept_truncation is set.
///
/// send() completes when the transport has taken the last record. Cancelled: transfer_error counts whole
/// records; if the transport has taken only a part of the last one, the stream sends the rest as soon as
/// the transport has room, before other data. send_some() may complete while a part of its record remains.
///
/// shutdown_send() sends close_notify; receiving continues. close() does not wait: it sends the rest of a
/// record and close_notify if the transport takes them at once, and closes the transport. A record of which
/// a part remains is cut, and the peer reports tls_errc::truncated; finish() waits, and sends it. After a
/// failed receive close() sends no close_notify, so that the peer does not take incomplete data for
/// complete. The destructor does the same as close(), and destroys the transport.
///
/// finish() sends the rest of a record and close_notify, then waits for the close_notify of the peer.
/// Returns false if the peer is gone, or ends the connection without close_notify. Throws
/// `error::timed_out` if the rest could not be sent within the limit.
///
/// wait_peer_closed() fails with operation_not_supported. Renegotiation by a peer with TLS 1.2 is refused.
/// After a violation of the protocol both directions fail with its code (tls_error.hpp); after an error of
/// the transport, bytes that have arrived can still be received.
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

  // The following functions throw `error::closed` on a stream that was closed or moved from.

  /// The results of the handshake, with the certificate of the peer; needs <cosock/tls_facts.hpp>, which
  /// <cosock/tls.hpp> includes.
  [[nodiscard]] tls_facts facts() const;
  /// The negotiated application protocol (ALPN); empty if there is no common protocol.
  [[nodiscard]] std::string protocol() const;
  /// Whether the handshake has resumed an earlier session.
  [[nodiscard]] bool is_resumed() const;
  /// The transport, for example to read its addresses.
  [[nodiscard]] const byte_stream& transport() const;

 private:
  friend struct detail::tls_access;
  explicit tls_stream(detail::owner<detail::tls_object>) noexcept;
  const detail::tls_object& open() const;
  detail::owner<detail::tls_object> secured_;
};

}  // namespace cosock

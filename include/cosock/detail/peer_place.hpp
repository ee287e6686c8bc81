// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The guards of serve() for one connection: its place in the count of its peer, and the wait for its
// first byte. The code is in lib/service/guards.cpp.

#include <cosock/detail/io_object.hpp>
#include <cosock/detail/timer.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace cosock {
class address;
class endpoint;
}  // namespace cosock

namespace cosock::detail {

class serve_state;
struct byte_counter;

/// A connection in the count of its peer (serve_options::max_per_peer), for as long as it lives.
class COSOCK_API peer_place {
 public:
  explicit peer_place(serve_state& server) noexcept : server_(&server) {}
  peer_place(peer_place&& other) noexcept
      : server_(other.server_), key_(std::exchange(other.key_, std::nullopt)) {}
  ~peer_place() { leave(); }
  /// Counts the connection for this peer, and no longer for the one before. False if that has as many
  /// as it may have: it is counted and reported then, and not in the count of any peer.
  bool enter(const address& peer) noexcept;

 private:
  void leave() noexcept;
  serve_state* server_;
  std::optional<std::uint64_t> key_;
};

/// Cancels the handler of a connection that receives no byte in time.
class COSOCK_API first_byte_watch final : private timer {
 public:
  first_byte_watch(serve_state& server, io_object& connection, std::int64_t limit);
  ~first_byte_watch();
  /// The handler begins, in this scope.
  void begin(cancellable& handler, const endpoint* peer) noexcept;
  void end() noexcept { stop_timer(); }
  /// Whether it has cancelled the handler.
  bool has_ended_it() const noexcept { return ended_; }

 private:
  void expire() noexcept override;
  serve_state& server_;
  byte_counter* counter_;
  std::int64_t at_;
  cancellable* handler_ = nullptr;
  const endpoint* peer_ = nullptr;
  bool ended_ = false;
};

}  // namespace cosock::detail

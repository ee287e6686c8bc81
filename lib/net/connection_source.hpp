// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What accept() asks if an acceptor shares its connections with acceptors of other loops. The
// implementation is in service/spread.cpp; it owns the connections until accept() has taken them.

#include <cosock/address.hpp>

#include <atomic>

namespace cosock::detail {

/// The number of connections of one loop: open, or on their way to it. Each connection refers to it,
/// and may live longer than the acceptors, so the last user destroys it: the owner counts too.
class alignas(64) connection_count {
 public:
  /// The value without the owner's share.
  unsigned get() const noexcept { return uses_.load(std::memory_order_relaxed) & ~owner; }
  void add() noexcept { uses_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept { drop(1); }
  /// By the owner, instead of a destructor.
  void leave() noexcept { drop(owner); }

 private:
  ~connection_count() = default;
  static constexpr unsigned owner = 1u << 31;
  void drop(unsigned n) noexcept {
    if (uses_.fetch_sub(n, std::memory_order_acq_rel) == n) delete this;
  }
  std::atomic<unsigned> uses_ = owner;
};

/// An accepted connection that has no socket object yet.
struct new_connection {
  int fd = -1;
  endpoint peer;
  connection_count* count = nullptr;  // which includes it
};

/// Accepts a TCP connection from a listening socket, with Nagle's algorithm off. Without descriptor if
/// that fails; errno says why.
new_connection accept_tcp(int listening) noexcept;

/// Whether this error of accept(2) is about one connection, which was lost in the backlog, or a signal:
/// the next call may succeed.
bool is_worth_another_accept(int error) noexcept;

/// The connections that other loops pass to an acceptor, and the decision about its own.
class connection_source {
 public:
  /// An accept begins.
  virtual void begin_accept() noexcept = 0;
  /// A connection that another loop has passed; without descriptor if there is none.
  virtual new_connection take_passed() noexcept = 0;
  /// The same, for an acceptor that is about to close: no loop passes a connection from now on, until an
  /// accept begins.
  virtual new_connection take_rest() noexcept = 0;
  /// Whether a connection that was accepted stays here; it is counted then. False: it was passed to
  /// another loop.
  virtual bool keep(new_connection&) noexcept = 0;

  /// Whether the socket of the acceptor may have a connection. If not, accept() takes only those that
  /// were passed, without a system call.
  bool has_backlog = true;

 protected:
  ~connection_source() = default;
};

}  // namespace cosock::detail

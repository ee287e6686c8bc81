// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/channel.hpp>
#include <cosock/task.hpp>
#include <cosock/testing/memory_stream.hpp>

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <variant>

namespace cosock::testing {

/// Options of a memory_listener.
struct memory_listener_options {
  /// The number of connections that may wait to be accepted, at least 1; further calls of connect() wait.
  std::size_t backlog = 128;
  /// Options of each connection, see memory_pair().
  memory_options connection = {};
};

/// An acceptor without sockets, for serve() and for tests of clients: connect() and accept() return the two
/// ends of a connection in memory. Belongs to one loop.
class COSOCK_API memory_listener {
 public:
  /// Throws std::invalid_argument if a number in the options is 0.
  explicit memory_listener(const memory_listener_options& options = {});
  /// Closes the listener, as close() does.
  ~memory_listener();
  memory_listener(const memory_listener&) = delete;
  memory_listener& operator=(const memory_listener&) = delete;

  /// Waits for a connection. Returns the end of the server. Errors: `error::closed`; those of fail().
  /// Cancelled: no connection is lost. The listener must outlive the `co_await`.
  [[nodiscard]] task<memory_stream> accept();
  /// Makes a connection. Returns the end of the client, without waiting for accept(), unless the backlog
  /// is full. Errors: connection_refused if the listener is closed. Cancelled: no effect. The listener must
  /// outlive the `co_await`.
  [[nodiscard]] task<memory_stream> connect();
  /// Queues an error behind the connections in the backlog, with which one accept() fails. Throws
  /// std::length_error if the backlog is full; system_error with `error::closed`.
  void fail(boost::system::error_code error);

  /// Pending and later calls of accept() end with `error::closed`, those of connect() with
  /// connection_refused. Connections that were not accepted end. Idempotent.
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return open_; }

 private:
  using arrival = std::variant<memory_stream, boost::system::error_code>;
  channel<arrival> arrivals_;
  memory_options connection_;
  bool open_ = true;
};

}  // namespace cosock::testing

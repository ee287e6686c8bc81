// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What serve() (serve.hpp) is made of.

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/stream.hpp>
#include <cosock/sync.hpp>

#include <concepts>
#include <exception>
#include <utility>

namespace cosock {

class server;
struct serve_options;

namespace detail {

struct byte_counter;

/// The part of serve() that is the same for all types.
class COSOCK_API serving {
 public:
  task<> run();
  void stop() noexcept;
  void count_bytes() noexcept;

 protected:
  serving(server& handle, const serve_options& options);
  ~serving();
  serving(const serving&) = delete;
  serving& operator=(const serving&) = delete;

  /// A connection that is being served, from its acceptance on.
  class COSOCK_API ticket {
   public:
    explicit ticket(serving& of, const byte_stream& connection) noexcept;
    ticket(ticket&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    ~ticket() {
      if (of_) of_->ended();
    }

   private:
    serving* of_;
  };

  /// Accepts a connection and starts its handler.
  virtual task<> accept_one(nursery& handlers) = 0;
  virtual void close() noexcept = 0;
  virtual void set_backlog(int connections) = 0;
  [[noreturn]] static void refuse_backlog();
  /// For a catch block around a handler.
  void handler_failed() noexcept;

 private:
  task<> host();
  task<> accept_all();
  void ended() noexcept;

  server& handle_;
  const serve_options& options_;
  std::size_t most_;
  byte_counter* bytes_;
  nursery* handlers_ = nullptr;
  cancel_scope accepting_;
  cancel_scope connections_;
  event hosting_;   // there is a place for handlers
  event stopping_;  // the acceptor is closed
  event room_;      // a connection has ended
};

template <class Handler, class Connection>
concept takes_peer = requires(Handler& h, Connection c) {
  h(std::move(c), c.remote_endpoint());
} || requires(Handler& h, Connection& c) { h(c, c.remote_endpoint()); };

/// The part that knows the type of the connections. It names neither acceptor nor handler, which may
/// be of a type without linkage: GCC warns of coroutines that take such.
template <class Connection>
class serving_of : public serving {
 protected:
  using serving::serving;
  ~serving_of() = default;
  virtual task<> handle(ticket, Connection) = 0;
  void start(nursery& handlers, ticket counted, Connection accepted) {
    handlers.start([this](ticket t, Connection c) { return handle(std::move(t), std::move(c)); },
                   std::move(counted), std::move(accepted));
  }
};

template <class Acceptor>
using connection_of = result_of<decltype(std::declval<Acceptor&>().accept())>;

template <class Acceptor, class Handler>
class serving_with final : public serving_of<connection_of<Acceptor>> {
  using connection = connection_of<Acceptor>;
  using typename serving::ticket;
  static_assert(std::derived_from<connection, byte_stream>,
                "serve() takes an acceptor whose accept() gives a byte_stream");
  static constexpr bool by_value = std::invocable<Handler&, connection>;
  static constexpr bool by_reference = std::invocable<Handler&, connection&>;
  static constexpr bool with_peer = takes_peer<Handler, connection>;
  static_assert(by_value || by_reference || with_peer,
                "a handler takes the connection, by value or by reference, and perhaps the "
                "endpoint of its peer, and returns cosock::task<>");

 public:
  serving_with(Acceptor& acceptor, Handler& handler, server& handle, const serve_options& options)
      : serving_of<connection>(handle, options), acceptor_(acceptor), handler_(handler) {}

 private:
  task<> accept_one(nursery& handlers) override {
    connection accepted = co_await acceptor_.accept();
    ticket counted(*this, accepted);
    this->start(handlers, std::move(counted), std::move(accepted));
  }
  void close() noexcept override { acceptor_.close(); }
  void set_backlog(int connections) override {
    if constexpr (requires { acceptor_.set_backlog(connections); })
      acceptor_.set_backlog(connections);
    else
      this->refuse_backlog();
  }

  // What the handler returns is awaited here, where the connection and the handler outlive it.
  task<> handle(ticket, connection accepted) override {
    try {
      if constexpr (with_peer) {
        auto peer = accepted.remote_endpoint();
        if constexpr (requires { handler_(std::move(accepted), peer); })
          co_await handler_(std::move(accepted), peer);
        else
          co_await handler_(accepted, peer);
      } else if constexpr (by_value) {
        co_await handler_(std::move(accepted));
      } else {
        co_await handler_(accepted);
      }
    } catch (...) {
      this->handler_failed();
    }
  }

  Acceptor& acceptor_;
  Handler& handler_;
};

}  // namespace detail
}  // namespace cosock

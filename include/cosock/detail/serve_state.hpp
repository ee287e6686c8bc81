// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The parts of serve() (serve.hpp): a state that does not know the type of the connections, and
// templates around it. The code is in lib/service/serve.cpp. It refers to the acceptor, the handler
// and the options of the caller, and owns the connections.

#include <cosock/cancel.hpp>
#include <cosock/connection.hpp>
#include <cosock/detail/chrono.hpp>
#include <cosock/detail/described_scope.hpp>
#include <cosock/detail/owner.hpp>
#include <cosock/detail/peer_place.hpp>
#include <cosock/detail/temporary_lambda.hpp>
#include <cosock/nursery.hpp>
#include <cosock/stream.hpp>
#include <cosock/sync.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

namespace cosock {

class server_handle;
struct serve_counters;
struct serve_options;

namespace detail {

struct byte_counter;

/// The part of serve() that is the same for all types: accepting, draining, limits and reports.
class COSOCK_API serve_state {
 public:
  task<> run();
  void stop() noexcept;
  void count_bytes() noexcept;
  /// For peer_place: counts a connection of this peer, and stores its key. False if it is refused.
  bool enter_peer(const address& peer, std::optional<std::uint64_t>& key) noexcept;
  void leave_peer(std::uint64_t key) noexcept;
  /// For first_byte_watch: counts and reports a connection without a byte.
  void found_silent(const endpoint* peer) noexcept;

 protected:
  serve_state(server_handle& handle, const serve_options& options);
  ~serve_state();
  serve_state(const serve_state&) = delete;
  serve_state& operator=(const serve_state&) = delete;

  /// Counts a connection for as long as it lives: in the arguments of handle(), so it is destroyed
  /// after the handler has ended, however it ends.
  class COSOCK_API connection_guard {
   public:
    explicit connection_guard(serve_state& server, const byte_stream& connection,
                              peer_place&& place);
    connection_guard(connection_guard&& other) noexcept
        : server_(std::exchange(other.server_, nullptr)),
          place_(std::move(other.place_)),
          first_byte_(std::move(other.first_byte_)) {}
    ~connection_guard() {
      if (server_) server_->connection_ended();
    }
    peer_place& place() noexcept { return place_; }
    /// Null without serve_options::first_byte.
    first_byte_watch* first_byte() const noexcept { return first_byte_.get(); }

   private:
    serve_state* server_;
    peer_place place_;
    owner<first_byte_watch> first_byte_;
  };

  /// Accepts connections and starts their handlers. Returns when max_connections is reached; throws
  /// the errors of accept().
  virtual task<> accept_some(nursery& handlers) = 0;
  /// Starts the handlers of the connections that the acceptor has already, and accepts no other. False
  /// if there is no further. Throws the errors of accept().
  virtual bool accept_rest(nursery& handlers) = 0;
  virtual void close() noexcept = 0;
  virtual void set_backlog(int connections) = 0;
  [[noreturn]] static void refuse_backlog();
  bool has_room() const noexcept;
  bool has_filter() const noexcept;
  [[noreturn]] void refuse_filter() const;
  /// Whether the filter permits a peer. If not, counts and reports the connection.
  bool admits(const endpoint& peer) noexcept;
  /// For a catch block: counts and reports a connection that is not served.
  void denied() noexcept;
  /// Whether connections of a peer are counted, and those of this one.
  bool limits_peers() const noexcept;
  bool is_counted(const address& peer) const noexcept;
  /// Whether a connection has to wait until the accept rate permits it, and the wait.
  bool is_paced() const noexcept;
  task<> pace();
  /// A connection was accepted.
  void accepted() noexcept;
  /// In a catch block around a handler: reports the exception.
  void handler_failed(const endpoint* peer, const kept_io_object& kept) noexcept;
  /// Set when the server drains.
  event& draining() noexcept;
  /// Whether finish() has something to do after the handler.
  bool may_finish(const byte_stream& connection, kept_io_object& kept) const noexcept;
  /// Ends a connection in order if the handler has left it open, either in `connection` or in
  /// `kept`.
  task<> finish(byte_stream& connection, kept_io_object& kept);
  bool keeps() const noexcept;

 private:
  struct guards;
  struct COSOCK_API guards_deleter {
    void operator()(guards*) const noexcept;
  };
  void open_guards();
  owner<first_byte_watch> watch_first_byte(const byte_stream& connection);
  void count_peer(std::uint64_t serve_counters::*which, const address* peer, const char* what,
                  const failure& why) noexcept;
  class stop_on_cancellation;
  task<> accept_and_drain();
  void report_cut() noexcept;
  task<> accept_all(nursery& handlers);
  void accept_failed(int error) noexcept;
  void connection_ended() noexcept;
  void accept_all_rest(nursery& handlers) noexcept;
  /// Calls the observer, unless the limit of reports for this second is reached.
  void report(const std::exception_ptr&, std::string_view source = {}) noexcept;
  void report_rest() noexcept;

  server_handle& handle_;
  const serve_options& options_;
  std::size_t max_connections_;
  std::int64_t second_ = 0;              // when the current second of reports began
  std::size_t reports_ = 0;              // in it
  std::uint64_t left_out_ = 0;           // reports that were suppressed since the last one
  std::array<bool, 134> reported_ = {};  // errors of accept() that were reported, by number
  byte_counter* bytes_;
  owner<guards, guards_deleter> guards_;  // null: no option needs them
  std::chrono::nanoseconds delay_{};      // before the next accept, after an error
  int skipped_ = 0;                       // errors of single connections, in a row
  cancel_scope accepting_;                // cancelled by stop()
  cancel_scope connections_;              // its deadline is the end of the drain
  event room_;                            // set when a connection has ended
};

/// Connections with the address of their peer, and those of local sockets, which have none.
template <class Connection>
concept has_peer_address = requires(const Connection& c) {
  { c.remote_endpoint() } -> std::convertible_to<endpoint>;
};
/// The address of a peer, which is taken before the handler closes or moves the connection.
struct known_peer {
  template <class Connection>
  explicit known_peer(const Connection& connection) noexcept {
    if constexpr (has_peer_address<Connection>) {
      try {
        address.emplace(connection.remote_endpoint());
      } catch (...) {
        // Reported without it.
      }
    }
  }
  const endpoint* get() const noexcept { return address ? &*address : nullptr; }
  std::optional<endpoint> address;
};
/// The scope of a handler, which has the name of its peer in dumps.
class COSOCK_API peer_scope : public described_scope {
 public:
  struct peer {
    const endpoint* address;  // null: not known, or a local socket
    const kept_io_object* connection;
    first_byte_watch* first_byte = nullptr;
  };
  void describe(wait_report& to) const override;
  peer description() && noexcept { return peer_; }

 protected:
  explicit peer_scope(peer of) noexcept : peer_(of) {}
  ~peer_scope() { leave(); }
  void enter(cancel_node& outer) noexcept {
    described_scope::enter(outer);
    if (peer_.first_byte) peer_.first_byte->begin(*this, peer_.address);
  }
  void leave() noexcept {
    described_scope::leave();
    if (peer_.first_byte) peer_.first_byte->end();
  }

 private:
  peer peer_;
};
template <class A>
described_awaiter<operand_t<A>, peer_scope, peer_scope::peer> for_peer(peer_scope::peer of,
                                                                       A&& work) {
  return {of, std::forward<A>(work)};
}

template <class Connection>
concept is_local_connection = requires(const Connection& c) {
  { c.remote_endpoint() } -> std::convertible_to<local_endpoint>;
};

/// The second argument that a handler may take, for connections that know their peer. Otherwise a
/// type that no handler names, so that the concept below is false.
template <class Connection>
struct connection_info_for {
  struct type {};
};
template <class Connection>
  requires requires(const Connection& c) { c.remote_endpoint(); }
struct connection_info_for<Connection> {
  using type = basic_connection<
      std::remove_cvref_t<decltype(std::declval<const Connection&>().remote_endpoint())>>;
};
template <class Connection>
using connection_info_of = typename connection_info_for<Connection>::type;

template <class Handler, class Connection>
concept takes_connection_info =
    std::invocable<Handler&, Connection, const connection_info_of<Connection>&> ||
    std::invocable<Handler&, Connection&, const connection_info_of<Connection>&>;

template <class Handler, class... Arguments>
concept returns_task = requires(Handler& h, Arguments&&... arguments) {
  { h(std::forward<Arguments>(arguments)...) } -> awaitable;
};

/// Starts a child coroutine, without the frame of nursery::start() around it. Not a friend of
/// nursery, because compilers warn of a class that has both friends and a protected destructor.
class nursery_access final : nursery {
 public:
  nursery_access() = delete;
  static void start(nursery& handlers, child_coroutine child) {
    (handlers.*&nursery_access::add)(std::move(child));
  }
};

/// The part that knows the type of the connections. It names neither acceptor nor handler: their
/// types may have no linkage, and GCC warns of coroutines with parameters of such types.
template <class Connection>
class serve_connections : public serve_state {
 protected:
  using serve_state::serve_state;
  ~serve_connections() = default;
  /// A child of the nursery itself, so a connection has two frames: this one and that of its
  /// handler.
  virtual child_coroutine handle(connection_guard, Connection) = 0;
  void start(nursery& handlers, connection_guard counted, Connection accepted) {
    nursery_access::start(handlers, handle(std::move(counted), std::move(accepted)));
  }
};

template <class Acceptor>
using connection_of = result_of<decltype(std::declval<Acceptor&>().accept())>;

template <class Acceptor, class Handler>
class serve_run final : public serve_connections<connection_of<Acceptor>> {
  using connection = connection_of<Acceptor>;
  using typename serve_state::connection_guard;
  static_assert(std::derived_from<connection, byte_stream>,
                "serve() takes an acceptor whose accept() gives a byte_stream");
  static constexpr bool by_value = std::invocable<Handler&, connection>;
  static constexpr bool by_reference = std::invocable<Handler&, connection&>;
  using info_type = connection_info_of<connection>;
  static constexpr bool with_info = takes_connection_info<Handler, connection>;
  static_assert(by_value || by_reference || with_info,
                "a handler takes the stream, by value or by reference, and perhaps a const "
                "cosock::connection& (cosock::local_connection& for local sockets), and returns "
                "cosock::task<>");
  static_assert(returns_task<Handler, connection> || returns_task<Handler, connection&> ||
                    returns_task<Handler, connection, const info_type&> ||
                    returns_task<Handler, connection&, const info_type&>,
                "a handler returns cosock::task<>: this one returns something else");

 public:
  serve_run(Acceptor& acceptor, Handler& handler, server_handle& handle,
            const serve_options& options)
      : serve_connections<connection>(handle, options), acceptor_(acceptor), handler_(handler) {}

 private:
  // A loop inside, so that not each connection needs a frame for its accept.
  task<> accept_some(nursery& handlers) override {
    if constexpr (!has_peer_address<connection> && !is_local_connection<connection>)
      if (this->has_filter() || this->limits_peers()) this->refuse_filter();
    while (this->has_room()) {
      if (this->is_paced()) co_await this->pace();
      connection accepted = co_await acceptor_.accept();
      start_if_permitted(handlers, accepted);
      this->accepted();
    }
  }
  bool accept_rest(nursery& handlers) override {
    if constexpr (requires { acceptor_.accept_rest(); }) {
      auto accepted = acceptor_.accept_rest();
      if (accepted) start_if_permitted(handlers, *accepted);
      return accepted.has_value();
    } else {
      return false;
    }
  }
  void start_if_permitted(nursery& handlers, connection& accepted) {
    peer_place place(*this);
    if (!is_permitted(accepted, place)) return;
    connection_guard counted(*this, accepted, std::move(place));
    this->start(handlers, std::move(counted), std::move(accepted));
  }
  bool is_permitted([[maybe_unused]] const connection& accepted,
                    [[maybe_unused]] peer_place& place) {
    if constexpr (has_peer_address<connection>) {
      if (!this->has_filter() && !this->limits_peers()) return true;
      try {
        const endpoint peer = accepted.remote_endpoint();
        if (this->has_filter() && !this->admits(peer)) return false;
        if constexpr (requires { handler_.is_proxy(peer.address()); })
          if (handler_.is_proxy(peer.address())) return true;  // counted when its header is there
        return !this->is_counted(peer.address()) || place.enter(peer.address());
      } catch (...) {
        this->denied();
        return false;
      }
    }
    return true;
  }
  void close() noexcept override { acceptor_.close(); }
  void set_backlog(int connections) override {
    if constexpr (requires { acceptor_.set_backlog(connections); })
      acceptor_.set_backlog(connections);
    else
      this->refuse_backlog();
  }

  // The task of the handler is awaited here, in the frame that holds the connection: so the handler
  // may take it by reference.
  child_coroutine handle(connection_guard counted, connection accepted) override {
    kept_io_object kept(stream_access::object_of(accepted), this->keeps());
    const known_peer peer(accepted);
    const peer_scope::peer name = {peer.get(), &kept, counted.first_byte()};
    try {
      if constexpr (with_info) {
        const info_type info(accepted, kept, this->draining(), counted.place());
        if constexpr (std::invocable<Handler&, connection, const info_type&>)
          co_await for_peer(name, handler_(std::move(accepted), info));
        else
          co_await for_peer(name, handler_(accepted, info));
      } else if constexpr (by_value) {
        co_await for_peer(name, handler_(std::move(accepted)));
      } else {
        co_await for_peer(name, handler_(accepted));
      }
    } catch (...) {
      this->handler_failed(peer.get(), kept);
    }
    if (counted.first_byte() && counted.first_byte()->has_ended_it()) co_return;
    if (!this->may_finish(accepted, kept)) co_return;
    try {
      co_await this->finish(accepted, kept);
    } catch (...) {
      // Not an error of the server: the handler is done, and the connection is closed now, even if
      // the peer has failed, or if there is no memory to end it in order.
    }
  }

  Acceptor& acceptor_;
  Handler& handler_;
};

}  // namespace detail
}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A small client of Redis, for chat_cluster: commands and replies of RESP2, and a connection that many
// tasks use at once and that comes back after an outage. https://redis.io/docs/reference/protocol-spec

#include <cosock/cosock.hpp>

#include <charconv>
#include <cstdio>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

/// A reply. An integer is kept as its text.
struct redis_reply {
  enum class kind : unsigned char { null, text, error, list };
  redis_reply() noexcept {}  // no aggregate: it owns memory
  bool is_error() const noexcept { return type == kind::error; }
  kind type = kind::null;
  std::string text;
  std::vector<redis_reply> items;
};

/// An error of Redis, or of the connection to it: `redis at 127.0.0.1:6379: REASON`.
[[noreturn]] inline void raise_redis_error(boost::system::errc::errc_t code,
                                           const cosock::endpoint& server,
                                           const std::string& reason) {
  throw boost::system::system_error(boost::system::errc::make_error_code(code),
                                    "redis at " + server.to_string() + ": " + reason);
}

/// Prints why a connection to Redis has ended, once for each outage.
inline void report_retry(const cosock::retry_event& event) {
  if (event.attempt != 1) return;
  const std::string text(event.text);
  std::fprintf(stderr, "connects to redis again: %s\n", text.c_str());
}

/// Returns a command as Redis expects it: a list of strings, each with its length.
inline std::string redis_command(const std::vector<std::string_view>& words) {
  std::string text = '*' + std::to_string(words.size()) + "\r\n";
  for (const std::string_view word : words)
    text.append("$" + std::to_string(word.size()) + "\r\n").append(word).append("\r\n");
  return text;
}

/// Reads replies, within limits: a server that is not Redis, or a reply that is too large, is an error
/// (protocol_error) with the address and the first bytes that came.
class redis_reader {
 public:
  static constexpr std::size_t max_text = 64 << 10;   // bytes of one string
  static constexpr std::size_t max_reply = 16 << 20;  // bytes of one reply
  static constexpr std::size_t max_items = 100'000;   // of one reply
  static constexpr int max_depth = 8;                 // of lists in lists

  redis_reader(cosock::byte_stream& stream, cosock::endpoint server)
      : reader_(stream, {.capacity = max_text + 2}), server_(server) {}

  /// Returns the next reply. Throws protocol_error, `error::end_of_stream`, and the errors of
  /// receive(). The connection is of no use after an error or a cancellation.
  cosock::task<redis_reply> read() {
    bytes_left_ = max_reply;
    items_left_ = max_items;
    return read_item(0);
  }

 private:
  [[noreturn]] void refuse(const char* reason, std::string_view line) const {
    std::string shown(line.substr(0, 40));
    for (char& c : shown)
      if (c < ' ' || c > '~') c = '?';
    raise_redis_error(boost::system::errc::protocol_error, server_,
                      reason + (" in the reply that begins with \"" + shown + '"'));
  }
  /// The number after the type, from -1 to a limit.
  long number_of(std::string_view line, std::size_t max) const {
    long number = 0;
    const auto [stop, error] = std::from_chars(line.data() + 1, line.data() + line.size(), number);
    if (error != std::errc() || stop != line.data() + line.size() || number < -1)
      refuse("an invalid length", line);
    if (number > static_cast<long>(max)) refuse("a length above the limit", line);
    return number;
  }
  void count(std::size_t bytes, std::string_view line) {
    if (items_left_ == 0 || bytes > bytes_left_) refuse("too much data", line);
    --items_left_;
    bytes_left_ -= bytes;
  }

  cosock::task<redis_reply> read_item(int depth) {
    const auto line = co_await reader_.read_line();
    if (!line) throw boost::system::system_error(make_error_code(cosock::error::end_of_stream));
    redis_reply reply;
    if (line->empty()) refuse("an empty line", *line);
    count(line->size(), *line);
    const char type = line->front();
    if (type == '+' || type == '-' || type == ':') {
      reply.type = type == '-' ? redis_reply::kind::error : redis_reply::kind::text;
      reply.text = line->substr(1);
    } else if (type == '$') {
      const long size = number_of(*line, max_text);
      if (size == -1) co_return reply;
      count(static_cast<std::size_t>(size), *line);
      const auto text = co_await reader_.read_exactly(static_cast<std::size_t>(size) + 2);
      if (!text) throw boost::system::system_error(make_error_code(cosock::error::end_of_stream));
      if (!text->ends_with("\r\n")) refuse("a string without an end", *text);
      reply.type = redis_reply::kind::text;
      reply.text = text->substr(0, text->size() - 2);
    } else if (type == '*') {
      const long size = number_of(*line, max_items);
      if (depth == max_depth) refuse("too many lists in lists", *line);
      if (size == -1) co_return reply;
      reply.type = redis_reply::kind::list;
      for (long i = 0; i != size; ++i) reply.items.push_back(co_await read_item(depth + 1));
    } else {
      refuse("an unknown type", *line);
    }
    co_return reply;
  }

  cosock::buffered_reader reader_;
  cosock::endpoint server_;
  std::size_t bytes_left_ = 0;
  std::size_t items_left_ = 0;
};

/// Many tasks, one connection: replies come in the order of the commands. After an outage it connects
/// again; no command is repeated, because it cannot know which of them Redis has executed.
class redis_client {
 public:
  explicit redis_client(cosock::endpoint server) : server_(server) {}

  /// Whether the last PING was answered.
  bool is_ready() const noexcept { return ready_; }

  /// Executes a command (redis_command()). Returns the reply. Errors, after which the command may have
  /// been executed or not: an error reply (protocol_error); not_connected, also at once while Redis is
  /// away; `error::broken_promise` if the connection is lost; `error::timed_out`.
  cosock::task<redis_reply> call(std::string command) {
    const auto permit = co_await window_.acquire();
    if (!link_) raise_redis_error(boost::system::errc::not_connected, server_, "not connected");
    auto [promise, future] = cosock::make_promise<redis_reply>();
    // Nothing waits between these two, so both queues have the same order.
    if (!link_->out.try_send(std::move(command)))
      raise_redis_error(boost::system::errc::not_connected, server_, "not connected");
    link_->pending.push_back(std::move(promise));
    redis_reply reply = co_await cosock::with_timeout(time_limit, future.get());
    if (reply.is_error())
      raise_redis_error(boost::system::errc::protocol_error, server_, reply.text);
    co_return reply;
  }

  /// Keeps the connection, until it is cancelled.
  cosock::task<> run() {
    cosock::reconnecting_client client({.base = std::chrono::milliseconds(50),
                                        .cap = std::chrono::seconds(1),
                                        .on_retry = report_retry});
    const auto connect = [this] {
      return cosock::with_timeout(time_limit, cosock::connect(server_));
    };
    const auto session = [&](cosock::tcp_socket& socket) { return use(socket, client); };
    co_await client.run(connect, session);
  }

 private:
  static constexpr std::chrono::seconds time_limit{2};
  static constexpr std::size_t max_pending = 256;

  struct link {
    link(redis_client& owner, cosock::byte_stream& stream)
        : client(owner), out(stream, {.max_messages = max_pending, .max_bytes = 4 << 20}) {
      client.link_ = this;
    }
    ~link() {
      client.link_ = nullptr;
      client.ready_ = false;
    }
    redis_client& client;
    cosock::outbox out;
    std::deque<cosock::promise<redis_reply>> pending;
  };

  cosock::task<> use(cosock::tcp_socket& socket, cosock::reconnecting_client& connection) {
    link here(*this, socket);
    co_await cosock::when_any(here.out.run(), receive(socket, here), watch(connection));
  }
  cosock::task<> receive(cosock::byte_stream& stream, link& here) {
    redis_reader replies(stream, server_);
    for (;;) {
      redis_reply reply = co_await replies.read();
      if (here.pending.empty())
        raise_redis_error(boost::system::errc::protocol_error, server_,
                          "a reply without a command");
      here.pending.front().set_value(std::move(reply));  // nobody may want it any more
      here.pending.pop_front();
    }
  }
  /// Redis may hang, or be loading its data: it is ready when it answers a PING.
  cosock::task<> watch(cosock::reconnecting_client& connection) {
    const std::string ping = redis_command({"PING"});
    for (;;) {
      co_await call(ping);
      ready_ = true;
      connection.succeeded();
      co_await cosock::sleep_for(std::chrono::seconds(1));
    }
  }

  cosock::endpoint server_;
  cosock::semaphore window_{max_pending};
  link* link_ = nullptr;
  bool ready_ = false;
};

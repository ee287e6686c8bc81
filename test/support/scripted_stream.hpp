// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/error.hpp>
#include <cosock/stream.hpp>
#include <cosock/task.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace test {

/// A stream in memory whose bytes come, and go, in just the pieces that the test says.
class scripted_stream final : public cosock::byte_stream {
 public:
  explicit scripted_stream(cosock::detail::loop_state* loop) : byte_stream(&script_) {
    script_.loop = loop;
  }
  ~scripted_stream() override { close(); }

  /// What is received: a piece at a time.
  void push(std::string piece) {
    if (piece.empty()) return;
    script_.incoming.push_back(std::move(piece));
    script_.ready(cosock::detail::reading);
  }
  void push_each(std::string_view bytes) {
    for (const char c : bytes) push(std::string(1, c));
  }
  void end() {
    script_.ended = true;
    script_.ready(cosock::detail::reading);
  }
  /// Receiving fails, once everything has been received; or works again.
  void fail_receive(int error) {
    script_.receive_error = error;
    script_.ready(cosock::detail::reading);
  }
  /// Pieces, and bytes, that were not received yet.
  std::size_t pieces_left() const { return script_.incoming.size(); }

  /// What was sent.
  std::string& sent() { return script_.sent; }
  /// How many more bytes can be sent, and in how many pieces they were.
  void set_room(std::size_t bytes) {
    script_.room = bytes;
    script_.ready(cosock::detail::writing);
  }
  std::size_t writes() const { return script_.writes; }
  /// Sending fails, once there is no more room.
  void fail_send(int error) {
    script_.send_error = error;
    script_.ready(cosock::detail::writing);
  }

  void shutdown_send() override { shut_ = true; }
  bool is_shut() const { return shut_; }
  void close() noexcept override {
    if (!object_) return;
    object_ = nullptr;
    script_.abandon({static_cast<int>(cosock::error::closed), &cosock::cosock_category()});
    script_.loop = nullptr;
  }

 private:
  struct script final : cosock::detail::io_object {
    using operation = cosock::detail::stream_operation;
    using step = cosock::detail::step;
    void arm(cosock::detail::io_direction) override {}
    bool is_ready(cosock::detail::io_direction direction) noexcept override {
      return maybe_ready[direction] = direction == cosock::detail::reading
                                          ? !incoming.empty() || ended || receive_error
                                          : room != 0 || send_error;
    }
    step transfer(operation& op) override {
      return op.direction() == cosock::detail::reading ? receive(op) : send(op);
    }
    static cosock::detail::piece next(operation& op) {
      cosock::detail::piece p{nullptr, 0};
      if (op.contiguous())
        p = {op.data(), op.left()};
      else
        op.pieces(&p, 1);
      return p;
    }
    step receive(operation& op) {
      for (;;) {
        if (incoming.empty()) {
          if (receive_error) return fail(op, receive_error);
          if (ended) return op.moved(0);
          maybe_ready[cosock::detail::reading] = false;
          return step::pending;
        }
        std::string& first = incoming.front();
        const auto into = next(op);
        const std::size_t n = std::min(first.size(), into.size);
        std::memcpy(into.data, first.data(), n);
        first.erase(0, n);
        if (first.empty()) incoming.pop_front();
        is_ready(cosock::detail::reading);
        if (op.moved(n) == step::done) return step::done;
      }
    }
    step send(operation& op) {
      for (;;) {
        if (room == 0) {
          if (send_error) return fail(op, send_error);
          maybe_ready[cosock::detail::writing] = false;
          return step::pending;
        }
        ++writes;
        if (op.contiguous()) {
          const auto from = next(op);
          const std::size_t n = std::min(room, from.size);
          sent.append(static_cast<const char*>(from.data), n);
          room -= n;
          if (op.moved(n) == step::done) return step::done;
          continue;
        }
        cosock::detail::piece many[64];
        const std::size_t count = op.pieces(many, 64);
        std::size_t all = 0;
        for (std::size_t i = 0; i != count; ++i) {
          const std::size_t n = std::min(room, many[i].size);
          sent.append(static_cast<const char*>(many[i].data), n);
          room -= n;
          all += n;
        }
        if (op.moved(all) == step::done) return step::done;
      }
    }
    static step fail(operation& op, int error) {
      return op.failed({error, &boost::system::system_category()});
    }
    std::deque<std::string> incoming;
    bool ended = false;
    int receive_error = 0;
    std::string sent;
    std::size_t room = static_cast<std::size_t>(-1);
    std::size_t writes = 0;
    int send_error = 0;
  };
  script script_;
  bool shut_ = false;
};

/// The loop of the task that awaits it, as streams know it.
class this_core final : public cosock::detail::awaiter_of<this_core> {
 public:
  cosock::detail::step start(std::coroutine_handle<>, cosock::detail::cancel_node& parent) {
    loop_ = parent.loop;
    return cosock::detail::step::done;
  }
  cosock::detail::loop_state* result() { return loop_; }
  cosock::detail::failure fail() noexcept { return {}; }

 private:
  cosock::detail::loop_state* loop_ = nullptr;
};

inline cosock::task<std::unique_ptr<scripted_stream>> make_scripted_stream() {
  cosock::detail::loop_state* const loop = co_await this_core();
  co_return std::make_unique<scripted_stream>(loop);
}

}  // namespace test

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Streams that each have one bug, for the test of the conformance checks.

#include <cosock/custom_stream.hpp>
#include <cosock/testing/check_stream.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace test {

enum class bug {
  none,
  cancelled_receive_consumes,
  cancelled_send_still_sends,
  buffers_in_reverse_order,
  end_then_error,
  end_then_data,
  short_send_as_full,
  short_receive_as_full,
  zero_for_would_block,
  error_hides_bytes,
  end_hides_bytes,
  last_byte_is_lost,
  byte_comes_twice,
  close_wakes_nobody,
  close_is_not_told,
  reset_as_end,
  busy_is_not_detected,
  half_close_ends_both,
  half_close_is_not_told,
  waiting_takes_a_byte,
  wait_readable_never_ends,
  no_bound,
  room_is_not_reported,
  every_other_arrival_is_reported,
  sends_into_the_void,
  broken_only_once,
  second_buffer_is_lost,
  leaves_a_descriptor,
};

/// One end of a connection in memory, with a bug.
class buggy_stream final : public cosock::custom_stream {
 public:
  explicit buggy_stream(bug of) : bug_(of) {
    if (has(bug::leaves_a_descriptor)) ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  ~buggy_stream() override { leave(); }
  static void join(buggy_stream& a, buggy_stream& b) {
    a.peer_ = &b;
    b.peer_ = &a;
  }
  void reset() {
    if (peer_) peer_->reset_ = true;
    close();
  }

 private:
  using error_code = boost::system::error_code;
  static constexpr std::size_t room = 5000;
  bool has(bug one) const { return bug_ == one; }
  static std::size_t fail(error_code& code, int value) {
    code = {value, boost::system::system_category()};
    return 0;
  }

  std::size_t do_receive(std::span<const cosock::mutable_buffer> into,
                         error_code& code) noexcept override {
    if (has(bug::error_hides_bytes) && ended_ && !peer_ && !received_end_)
      return fail(code, ECONNRESET);
    if (has(bug::end_hides_bytes) && ended_) return 0;
    if (incoming_.empty()) {
      if (reset_ && !has(bug::reset_as_end)) return fail(code, ECONNRESET);
      if (ended_) {
        const bool again = std::exchange(received_end_, true);
        if (again && has(bug::end_then_error)) return fail(code, ECONNRESET);
        if (again && has(bug::end_then_data)) return static_cast<char*>(into[0].data())[0] = 'x', 1;
        return 0;
      }
      if (has(bug::zero_for_would_block)) return 0;
      waiting_into_ = into[0].data();
      return fail(code, EAGAIN);
    }
    if (has(bug::cancelled_receive_consumes) && waiting_into_ && waiting_into_ != into[0].data()) {
      incoming_.clear();  // was meant for a buffer that nobody looks at any more
      waiting_into_ = nullptr;
      return fail(code, EAGAIN);
    }
    waiting_into_ = nullptr;
    std::size_t received = 0;
    for (const cosock::mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), incoming_.size());
      std::memcpy(buffer.data(), incoming_.data(), n);
      incoming_.erase(0, n);
      received += n;
      if (has(bug::second_buffer_is_lost) && &buffer != &into[0]) received -= n;
    }
    if (has(bug::short_receive_as_full)) received = into[0].size();
    if (peer_ && !has(bug::room_is_not_reported)) {
      peer_->send_backlog();
      peer_->notify_writable();
    }
    return received;
  }

  std::size_t do_send(std::span<const cosock::const_buffer> from,
                      error_code& code) noexcept override {
    std::size_t all = 0;
    for (const cosock::const_buffer& buffer : from) all += buffer.size();
    if (!peer_) {
      if (has(bug::sends_into_the_void)) return all;
      if (has(bug::broken_only_once) && std::exchange(was_broken_, true)) return all;
      return fail(code, EPIPE);
    }
    std::string bytes;
    for (const cosock::const_buffer& buffer : from) {
      const std::size_t size = has(bug::no_bound) ? buffer.size() : std::min(buffer.size(), room);
      const std::string_view part(static_cast<const char*>(buffer.data()), size);
      if (has(bug::buffers_in_reverse_order) && from.size() < 100)
        bytes.insert(0, part);
      else
        bytes += part;
      if (bytes.size() > room && !has(bug::no_bound)) break;
    }
    if (!backlog_.empty()) return fail(code, EAGAIN);
    if (has(bug::cancelled_send_still_sends) && queued_from_) {
      // What was queued for the operation that waited, whether that is this one or not.
      const std::size_t sent = queued_;
      const bool same = std::exchange(queued_from_, nullptr) == from[0].data();
      if (same) return sent;
    }
    const std::size_t left =
        has(bug::no_bound) ? bytes.size() : room - std::min(room, peer_->incoming_.size());
    const std::size_t n = std::min(left, bytes.size());
    if (n == 0) {
      if (has(bug::cancelled_send_still_sends)) {
        backlog_ = bytes.substr(0, 100);
        queued_ = backlog_.size();
        queued_from_ = from[0].data();
      }
      return fail(code, EAGAIN);
    }
    peer_->incoming_.append(bytes, 0, n);
    sent_ += n;
    if (has(bug::byte_comes_twice) && sent_ / 10'000 != (sent_ - n) / 10'000)
      peer_->incoming_ += peer_->incoming_.back();
    if (!has(bug::every_other_arrival_is_reported) || ++arrivals_ % 2 == 0)
      peer_->notify_readable();
    return has(bug::short_send_as_full) ? all : n;
  }

  void send_backlog() {
    if (backlog_.empty() || !peer_) return;
    peer_->incoming_ += std::exchange(backlog_, {});
    peer_->notify_readable();
  }

  bool can_receive() noexcept override {
    if (has(bug::wait_readable_never_ends)) return false;
    if (has(bug::waiting_takes_a_byte) && incoming_.size() > 1) incoming_.erase(0, 1);
    return !incoming_.empty() || ended_ || reset_;
  }
  bool can_send() noexcept override { return !peer_ || peer_->incoming_.size() < room; }
  void do_shutdown_send(error_code&) noexcept override {
    if (has(bug::half_close_is_not_told)) return;
    end();
    if (has(bug::half_close_ends_both)) {
      ended_ = true;
      notify_readable();
    }
  }
  void on_close() noexcept override { leave(); }

  void end() noexcept {
    if (!peer_) return;
    if (has(bug::last_byte_is_lost) && peer_->incoming_.size() > 10) peer_->incoming_.pop_back();
    peer_->ended_ = true;
    peer_->notify_readable();
  }
  void leave() noexcept {
    if (!peer_) return;
    if (!has(bug::close_is_not_told)) end();
    peer_->peer_ = nullptr;
    std::exchange(peer_, nullptr)->notify_writable();
  }

  const bug bug_;
  std::string incoming_;
  std::string backlog_;
  const void* waiting_into_ = nullptr;
  const void* queued_from_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t sent_ = 0;
  unsigned arrivals_ = 0;
  buggy_stream* peer_ = nullptr;
  bool ended_ = false;
  bool received_end_ = false;
  bool reset_ = false;
  bool was_broken_ = false;
};

/// A layer whose bugs are in what custom_stream does right.
class careless_layer final : public cosock::byte_stream {
 public:
  careless_layer(std::unique_ptr<buggy_stream> below, bug of)
      : below_(std::move(below)), careless_(*below_), bug_(of) {
    object_ = bug_ == bug::busy_is_not_detected ? &careless_ : careless_.below;
  }
  void shutdown_send() override { below_->shutdown_send(); }
  void close() noexcept override {
    if (bug_ == bug::close_wakes_nobody) {
      object_ = nullptr;
      return;
    }
    careless_.loop = nullptr;
    below_->close();
  }

 private:
  /// Passes a second operation on without a look at the first.
  struct careless_object final : cosock::detail::io_object {
    explicit careless_object(byte_stream& stream)
        : below(cosock::detail::stream_access::object_of(stream)) {
      loop = below->loop;
      maybe_ready[0] = true;
    }
    void arm(cosock::detail::io_direction direction) override {
      maybe_ready[direction] = true;
      waiter[direction]->move_to(*below);
    }
    cosock::detail::step transfer(cosock::detail::stream_operation& op) override {
      const auto reached = below->transfer(op);
      if (reached == cosock::detail::step::pending) maybe_ready[op.direction()] = false;
      return reached;
    }
    bool is_ready(cosock::detail::io_direction direction) noexcept override {
      return maybe_ready[direction] = below->is_ready(direction);
    }
    io_object* below;
  };

  std::unique_ptr<buggy_stream> below_;
  careless_object careless_;
  const bug bug_;
};

inline cosock::testing::stream_pair make_buggy_pair(bug of) {
  auto one = std::make_unique<buggy_stream>(of);
  auto other = std::make_unique<buggy_stream>(of);
  buggy_stream::join(*one, *other);
  if (of != bug::busy_is_not_detected && of != bug::close_wakes_nobody)
    return {std::move(one), std::move(other)};
  return {std::make_unique<careless_layer>(std::move(one), of),
          std::make_unique<careless_layer>(std::move(other), of)};
}

}  // namespace test

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_stream.hpp>
#include <cosock/task.hpp>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace test {

/// One end of a connection in memory, through which so many bytes are on their way at most. A stream
/// as a program writes it, which the conformance tests run on.
class memory_stream final : public cosock::custom_stream {
 public:
  explicit memory_stream(std::size_t room) : room_(room) {}
  ~memory_stream() override { on_close(); }

  static void join(memory_stream& a, memory_stream& b) {
    a.peer_ = &b;
    b.peer_ = &a;
  }

 private:
  using error_code = boost::system::error_code;

  std::size_t do_receive(std::span<const cosock::mutable_buffer> into,
                         error_code& code) noexcept override {
    if (incoming_.empty() && !ended_)
      code = make_error_code(boost::system::errc::operation_would_block);
    std::size_t received = 0;
    for (const cosock::mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), incoming_.size());
      std::memcpy(buffer.data(), incoming_.data(), n);
      incoming_.erase(0, n);
      received += n;
    }
    if (received != 0 && peer_) peer_->notify_writable();
    return received;
  }

  std::size_t do_send(std::span<const cosock::const_buffer> from,
                      error_code& code) noexcept override {
    if (!peer_) {
      code = make_error_code(boost::system::errc::broken_pipe);
      return 0;
    }
    std::size_t sent = 0;
    for (const cosock::const_buffer& buffer : from) {
      const std::size_t n = std::min(buffer.size(), peer_->room_ - peer_->incoming_.size());
      peer_->incoming_.append(static_cast<const char*>(buffer.data()), n);
      sent += n;
    }
    if (sent == 0)
      code = make_error_code(boost::system::errc::operation_would_block);
    else
      peer_->notify_readable();
    return sent;
  }

  bool can_receive() noexcept override { return !incoming_.empty() || ended_; }
  bool can_send() noexcept override { return !peer_ || peer_->incoming_.size() < peer_->room_; }

  void do_shutdown_send(error_code&) noexcept override { end(); }
  void on_close() noexcept override {
    end();
    if (!peer_) return;
    peer_->peer_ = nullptr;
    std::exchange(peer_, nullptr)->notify_writable();
  }

  void end() noexcept {
    if (!peer_) return;
    peer_->ended_ = true;
    peer_->notify_readable();
  }

  std::string incoming_;
  std::size_t room_;
  memory_stream* peer_ = nullptr;
  bool ended_ = false;
};

using memory_ends = std::pair<std::unique_ptr<memory_stream>, std::unique_ptr<memory_stream>>;

inline cosock::task<memory_ends> make_memory_pair(std::size_t room = 5000) {
  memory_ends ends{std::make_unique<memory_stream>(room), std::make_unique<memory_stream>(room)};
  memory_stream::join(*ends.first, *ends.second);
  co_return ends;
}

}  // namespace test

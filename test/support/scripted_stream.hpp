// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_stream.hpp>
#include <cosock/task.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace test {

/// A stream in memory whose bytes come, and go, in just the pieces that the test says.
class scripted_stream final : public cosock::custom_stream {
 public:
  /// What is received: a piece at a time.
  void push(std::string piece) {
    if (piece.empty()) return;
    incoming_.push_back(std::move(piece));
    notify_readable();
  }
  void push_each(std::string_view bytes) {
    for (const char c : bytes) push(std::string(1, c));
  }
  void end() {
    ended_ = true;
    notify_readable();
  }
  /// Receiving fails, once everything has been received; or works again.
  void fail_receive(int error) {
    receive_error_ = error;
    notify_readable();
  }
  /// Pieces, and bytes, that were not received yet.
  std::size_t pieces_left() const { return incoming_.size(); }

  /// What was sent.
  std::string& sent() { return sent_; }
  /// How many more bytes can be sent, and in how many pieces they were.
  void set_room(std::size_t bytes) {
    room_ = bytes;
    notify_writable();
  }
  std::size_t writes() const { return writes_; }
  /// Sending fails, once there is no more room.
  void fail_send(int error) {
    send_error_ = error;
    notify_writable();
  }

  bool is_shut() const { return shut_; }

 private:
  using error_code = boost::system::error_code;

  /// Nothing can be moved: because of this error, or until there is something.
  static std::size_t stopped(int error, error_code& code) {
    code = error != 0 ? error_code(error, boost::system::system_category())
                      : make_error_code(boost::system::errc::operation_would_block);
    return 0;
  }

  std::size_t do_receive(std::span<const cosock::mutable_buffer> into,
                         error_code& code) noexcept override {
    if (incoming_.empty()) return ended_ && !receive_error_ ? 0 : stopped(receive_error_, code);
    std::string& first = incoming_.front();
    const std::size_t n = std::min(first.size(), into[0].size());
    std::memcpy(into[0].data(), first.data(), n);
    first.erase(0, n);
    if (first.empty()) incoming_.pop_front();
    return n;
  }

  std::size_t do_send(std::span<const cosock::const_buffer> from,
                      error_code& code) noexcept override {
    if (room_ == 0) return stopped(send_error_, code);
    ++writes_;
    std::size_t sent = 0;
    for (const cosock::const_buffer& buffer : from) {
      const std::size_t n = std::min(room_, buffer.size());
      sent_.append(static_cast<const char*>(buffer.data()), n);
      room_ -= n;
      sent += n;
    }
    return sent;
  }

  bool can_receive() noexcept override { return !incoming_.empty() || ended_ || receive_error_; }
  bool can_send() noexcept override { return room_ != 0 || send_error_; }
  void do_shutdown_send(error_code&) noexcept override { shut_ = true; }

  std::deque<std::string> incoming_;
  bool ended_ = false;
  int receive_error_ = 0;
  std::string sent_;
  std::size_t room_ = static_cast<std::size_t>(-1);
  std::size_t writes_ = 0;
  int send_error_ = 0;
  bool shut_ = false;
};

inline cosock::task<std::unique_ptr<scripted_stream>> make_scripted_stream() {
  co_return std::make_unique<scripted_stream>();
}

}  // namespace test

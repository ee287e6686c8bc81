// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A chat room on Asio's own coroutines, as its chat example has it: each member has a queue of shared
// lines, which a second coroutine writes.

#include "asio_server.hpp"

#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <vector>

using line_pointer = std::shared_ptr<const std::string>;

/// Writes at most so many of the waiting lines with one call.
template <std::size_t most>
class member : public std::enable_shared_from_this<member<most>> {
 public:
  static asio::awaitable<void> join(tcp::socket socket) {
    std::make_shared<member>(std::move(socket))->start();
    co_return;
  }

  explicit member(tcp::socket socket) : socket_(std::move(socket)), work_(socket_.get_executor()) {
    work_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  void start() {
    room().insert(this->shared_from_this());
    const asio::any_io_executor executor = socket_.get_executor();
    const std::shared_ptr<member> self = this->shared_from_this();
    asio::co_spawn(
        executor, [self] { return self->read(); }, asio::detached);
    asio::co_spawn(
        executor, [self] { return self->write(); }, asio::detached);
  }

 private:
  static std::set<std::shared_ptr<member>>& room() {
    static std::set<std::shared_ptr<member>> members;
    return members;
  }

  void deliver(const line_pointer& line) {
    queue_.push_back(line);
    work_.cancel_one();
  }

  void stop() {
    room().erase(this->shared_from_this());
    socket_.close();
    work_.cancel();
  }

  asio::awaitable<void> read() {
    try {
      asio::streambuf data(8192);
      for (;;) {
        std::size_t size = co_await asio::async_read_until(socket_, data, '\n', use_awaitable);
        const auto* begin = static_cast<const char*>(data.data().data());
        auto line = std::make_shared<const std::string>(begin, size);
        data.consume(size);
        for (const std::shared_ptr<member>& each : room()) each->deliver(line);
      }
    } catch (const boost::system::system_error&) {
      stop();
    }
  }

  asio::awaitable<void> write() {
    try {
      while (socket_.is_open()) {
        if (queue_.empty()) {
          boost::system::error_code woken;
          co_await work_.async_wait(asio::redirect_error(use_awaitable, woken));
        } else if constexpr (most == 1) {
          co_await asio::async_write(socket_, asio::buffer(*queue_.front()), use_awaitable);
          queue_.pop_front();
        } else {
          const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), most));
          batch_.clear();
          for (auto line = queue_.begin(); line != queue_.begin() + count; ++line)
            batch_.push_back(asio::buffer(**line));
          co_await asio::async_write(socket_, batch_, use_awaitable);
          queue_.erase(queue_.begin(), queue_.begin() + count);
        }
      }
    } catch (const boost::system::system_error&) {
      stop();
    }
  }

  tcp::socket socket_;
  asio::steady_timer work_;
  std::deque<line_pointer> queue_;
  std::vector<asio::const_buffer> batch_;
};

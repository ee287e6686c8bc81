// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Operations of Asio whose end is the test's to give.

#include <cosock/asio.hpp>

#include "support.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <string>
#include <utility>

namespace test {

namespace asio = boost::asio;
using asio::ip::tcp;
using cosock::task;
using cosock::use_task;

/// An operation whose end is the test's to give.
class manual {
 public:
  template <class Token>
  auto wait(Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code, std::string)>(
        [this](auto handler) {
          ++begun;
          auto slot = asio::get_associated_cancellation_slot(handler);
          if (slot.is_connected())
            slot.assign([this](asio::cancellation_type type) {
              asked = type;
              if (obeys) end(asio::error::operation_aborted, "");
            });
          handler_ = std::make_unique<holder<decltype(handler)>>(std::move(handler));
        },
        token);
  }
  void end(boost::system::error_code ec, std::string text) {
    // Without asking what executor the handler wants: operations like that exist.
    if (const auto h = std::move(handler_)) h->call(ec, std::move(text));
  }
  void drop() { handler_.reset(); }
  bool waits() const { return handler_ != nullptr; }

  int begun = 0;
  bool obeys = true;
  asio::cancellation_type asked = asio::cancellation_type::none;

 private:
  struct held {
    virtual void call(boost::system::error_code, std::string) = 0;
    virtual ~held() = default;
  };
  template <class Handler>
  struct holder final : held {
    explicit holder(Handler&& h) : handler(std::move(h)) {}
    void call(boost::system::error_code ec, std::string text) override {
      std::move(handler)(ec, std::move(text));
    }
    Handler handler;
  };
  std::unique_ptr<held> handler_;
};

/// Two ends of a TCP connection of Asio's.
struct connection {
  explicit connection(const asio::any_io_executor& on) : one(on), other(on) {}
  task<> open() {
    tcp::acceptor acceptor(one.get_executor(), {asio::ip::address_v4::loopback(), 0});
    co_await one.async_connect(acceptor.local_endpoint(), use_task);
    other = co_await acceptor.async_accept(use_task);
  }
  tcp::socket one;
  tcp::socket other;
};

inline asio::awaitable<void> wait_for_ever() {
  asio::steady_timer t(co_await asio::this_coro::executor, 1h);
  co_await t.async_wait(asio::use_awaitable);
}

}  // namespace test

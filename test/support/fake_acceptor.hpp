// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/channel.hpp>
#include <cosock/error.hpp>
#include <cosock/local.hpp>

#include "support.hpp"

#include <optional>
#include <stdexcept>

namespace test {

/// An acceptor whose connections, and errors, are the test's.
class fake_acceptor {
 public:
  void give(cosock::local_stream_socket s) {
    if (!queue_.try_send(next(std::move(s)))) throw std::length_error("too many connections");
  }
  void fail(int error) { BOOST_REQUIRE(queue_.try_send(next(error))); }
  /// A peer of a connection that is accepted.
  cosock::local_stream_socket connect() {
    auto [mine, theirs] = cosock::local_pair();
    give(std::move(theirs));
    return std::move(mine);
  }

  cosock::task<cosock::local_stream_socket> accept() {
    ++tries;
    std::optional<next> one = co_await queue_.receive();
    if (!one) throw boost::system::system_error(make_error_code(cosock::error::closed));
    if (one->error) throw boost::system::system_error(one->error, boost::system::system_category());
    co_return std::move(one->connection);
  }
  void close() noexcept {
    closed = true;
    queue_.close();
  }

  int tries = 0;
  bool closed = false;

 private:
  struct next {
    explicit next(cosock::local_stream_socket s) : connection(std::move(s)) {}
    explicit next(int e) : error(e) {}
    cosock::local_stream_socket connection;
    int error = 0;
  };
  cosock::channel<next> queue_{1000};
};

}  // namespace test

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/duration.hpp>
#include <cosock/stream.hpp>
#include <cosock/task.hpp>
#include <cosock/testing/check_report.hpp>

#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace cosock::testing {

/// An acceptor of any type, with a function that connects a client to it.
class acceptor_under_test {
 public:
  virtual ~acceptor_under_test() = default;
  /// Accepts a connection, as serve() does.
  virtual task<std::unique_ptr<byte_stream>> accept() = 0;
  /// Connects a client. Must not wait for accept().
  virtual task<std::unique_ptr<byte_stream>> connect() = 0;
  /// Closes the acceptor. Idempotent.
  virtual void close() noexcept = 0;
};

/// Makes an acceptor_under_test, which owns `acceptor`. `connect`: a function that takes the acceptor and
/// returns a task with a connected stream.
template <class Acceptor, class Connect>
std::unique_ptr<acceptor_under_test> accepting(std::unique_ptr<Acceptor> acceptor,
                                               Connect connect) {
  class owner final : public acceptor_under_test {
   public:
    owner(std::unique_ptr<Acceptor> acceptor, Connect connect)
        : acceptor_(std::move(acceptor)), connect_(std::move(connect)) {}
    task<std::unique_ptr<byte_stream>> accept() override {
      auto accepted = co_await acceptor_->accept();
      co_return std::make_unique<decltype(accepted)>(std::move(accepted));
    }
    task<std::unique_ptr<byte_stream>> connect() override {
      auto connected = co_await connect_(*acceptor_);
      co_return std::make_unique<decltype(connected)>(std::move(connected));
    }
    void close() noexcept override { acceptor_->close(); }

   private:
    std::unique_ptr<Acceptor> acceptor_;
    Connect connect_;
  };
  return std::make_unique<owner>(std::move(acceptor), std::move(connect));
}

/// The promises of a kind of acceptor.
struct acceptor_traits {
  /// A second accept() while one is pending fails with `error::busy`.
  bool one_at_a_time = true;
  /// The number of connections that may wait to be accepted, at least 4.
  std::size_t backlog = 100;
  /// The time after which a check fails.
  time_span limit = std::chrono::seconds(60);
};

/// Makes a new acceptor. Called once by each check, on the loop of the check.
using acceptor_maker = std::function<task<std::unique_ptr<acceptor_under_test>>()>;

/// Returns the names of the checks that apply, in the order of check_acceptor().
[[nodiscard]] COSOCK_API std::vector<std::string_view> acceptor_check_names(
    const acceptor_traits& traits = {});

/// Checks that serve() can use an acceptor: runs all checks that apply, one after the other, each on its
/// own loop, and reports each result. If `only` is not empty, runs only the check with this name. Throws
/// std::invalid_argument if there is no such check; the exceptions of `report`.
COSOCK_API void check_acceptor(const acceptor_maker& make, const check_report& report,
                               const acceptor_traits& traits = {}, std::string_view only = {});

}  // namespace cosock::testing

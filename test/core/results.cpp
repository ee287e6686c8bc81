// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// as_result, and then value(): nothing that the exception knew is lost.

#define BOOST_TEST_MODULE results
#include "manual_event.hpp"
#include "scripted_stream.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <stdexcept>
#include <string>

namespace {

using boost::system::system_error;
using cosock::as_result;
using cosock::error;
using cosock::error_message;
using cosock::task;
namespace errc = boost::system::errc;
using namespace std::chrono_literals;

std::string text_of(const std::exception_ptr& e) { return error_message(e); }

/// What value() throws, as an exception_ptr.
template <class Result>
std::exception_ptr thrown_by(const Result& r) {
  try {
    r.value();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

cosock::endpoint closed_port() {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  return acceptor.local_endpoint();
}

COROUTINE_TEST_CASE(the_text_of_a_failed_connect_is_kept) {
  const auto to = closed_port();
  for (int way = 0; way != 4; ++way) {
    BOOST_TEST_CONTEXT("way " << way) {
      std::exception_ptr thrown;
      boost::system::error_code code;
      const auto keep = [&](const auto& r) {
        BOOST_REQUIRE(r.has_error());
        code = r.error();
        thrown = thrown_by(r);
        BOOST_TEST(error_message(r.error()) == text_of(thrown));
      };
      if (way == 0) keep(co_await as_result(cosock::connect(to)));
      if (way == 1) keep(co_await as_result(cosock::connect("127.0.0.1", to.port())));
      if (way == 2) keep(co_await as_result(cosock::with_timeout(10s, cosock::connect(to))));
      if (way == 3)
        keep(co_await as_result(cosock::when_all(cosock::connect(to), cosock::sleep_for(1h))));
      BOOST_TEST((code == errc::connection_refused));
      BOOST_TEST(text_of(thrown).find(to.to_string()) != std::string::npos);
    }
  }
}

COROUTINE_TEST_CASE(the_text_of_a_failed_local_connect_is_kept) {
  const auto to = cosock::local_endpoint::path("/nowhere/at/all");
  const auto r = co_await as_result(cosock::connect<cosock::local_stream_socket>(to));
  BOOST_TEST((r.error() == errc::no_such_file_or_directory));
  BOOST_TEST(text_of(thrown_by(r)).find("/nowhere/at/all") != std::string::npos);
}

template <class Result>
std::size_t bytes_of(const Result& r) {
  try {
    r.value();
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST((e.code() == r.error()));
    return e.bytes_transferred();
  }
  return 0;
}

COROUTINE_TEST_CASE(the_byte_count_of_a_transfer_is_kept) {
  auto [a, b] = cosock::local_pair();
  auto& from = a;
  char into[10];
  co_await b.send("abc");
  const auto limited = co_await as_result(cosock::with_timeout(1ms, from.receive_exactly(into)));
  BOOST_TEST((limited.error() == error::timed_out));
  BOOST_TEST(bytes_of(limited) == 3u);
  co_await b.send("abcd");
  cosock::cancel_scope scope;
  scope.set_deadline(cosock::clock::now() + 1ms);
  const auto scoped = co_await as_result(scope.run(from.receive_exactly(into)));
  BOOST_TEST((scoped.error() == error::timed_out));
  BOOST_TEST(bytes_of(scoped) == 4u);
  co_await b.send("abcde");
  const auto graced = co_await as_result(
      cosock::with_timeout(1ms, cosock::with_grace(1ms, from.receive_exactly(into))));
  BOOST_TEST(bytes_of(graced) == 5u);
  co_await b.send("ab");
  b.close();
  const auto end = co_await as_result(from.receive_exactly(into));
  BOOST_TEST((end.error() == error::end_of_stream));
  BOOST_TEST(bytes_of(end) == 2u);
}

COROUTINE_TEST_CASE(the_count_of_a_batch_is_kept) {
  cosock::udp_socket socket({cosock::address::loopback_v4(), 0});
  cosock::udp_socket to({cosock::address::loopback_v4(), 0});
  const std::string large(70000, 'x');
  const cosock::outgoing_datagram<> all[] = {{"one", to.local_endpoint()},
                                             {large, to.local_endpoint()}};
  const auto r = co_await as_result(socket.send_batch(all));
  try {
    r.value();
    BOOST_ERROR("too large");
  } catch (const cosock::transfer_error& e) {
    BOOST_TEST(e.datagrams_transferred() == 1u);
    BOOST_TEST(e.bytes_transferred() == 3u);
    BOOST_TEST(std::string(e.what()).find("after 1 datagram: ") == 0u);
  }
}

task<> fails(errc::errc_t e) {
  co_await cosock::yield();
  throw system_error(make_error_code(e), "a task");
}
task<> fails_when_cancelled() {
  const auto slept = co_await as_result(cosock::sleep_for(1h));
  BOOST_TEST((slept.error() == error::cancelled));
  throw std::runtime_error("another");
}

COROUTINE_TEST_CASE(several_errors_are_kept) {
  const auto r =
      co_await as_result(cosock::when_all(fails(errc::permission_denied), fails_when_cancelled()));
  BOOST_TEST((r.error() == errc::permission_denied));
  try {
    r.value();
    BOOST_ERROR("two tasks failed");
  } catch (const cosock::multiple_errors& e) {
    BOOST_REQUIRE(e.errors().size() == 2u);
    BOOST_TEST(error_message(e.errors()[1]) == "another");
  }
}

/// An error of the user's own that is a system_error.
struct quota_error : system_error {
  explicit quota_error(int left)
      : system_error(make_error_code(errc::no_buffer_space)), left(left) {}
  int left;
};

COROUTINE_TEST_CASE(errors_of_other_types_are_kept_or_pass) {
  const auto over = []() -> task<int> {
    co_await cosock::yield();
    throw quota_error(7);
  };
  const auto r = co_await as_result(over());
  BOOST_TEST((r.error() == errc::no_buffer_space));
  BOOST_CHECK_EXCEPTION(r.value(), quota_error, [](const auto& e) { return e.left == 7; });
  // Copies and moves keep it, and it can be thrown more than once.
  auto copy = r;
  const auto moved = std::move(copy);
  BOOST_CHECK_THROW(moved.value(), quota_error);
  BOOST_CHECK_THROW(std::rethrow_exception(moved.error().exception()), quota_error);
  const auto other = []() -> task<> {
    co_await cosock::yield();
    throw std::runtime_error("passes");
  };
  BOOST_CHECK_THROW((void)co_await as_result(other()), std::runtime_error);
}

COROUTINE_TEST_CASE(an_error_that_is_a_code_only_has_the_text_of_the_code) {
  cosock::cancel_scope scope;
  scope.cancel();
  const auto r = co_await as_result(scope.run(cosock::sleep_for(1h)));
  BOOST_TEST((r.error() == error::cancelled));
  BOOST_TEST(error_message(r.error()) == "the operation was cancelled");
  BOOST_CHECK_EXCEPTION((void)r.value(), system_error, [](const system_error& e) {
    return e.code() == error::cancelled && std::string(e.what()) == "the operation was cancelled";
  });
  const auto good = co_await as_result(cosock::yield());
  BOOST_TEST(!good.error());
  BOOST_TEST((good.error().exception() == nullptr));
}

}  // namespace

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/error.hpp>

#define BOOST_TEST_MODULE error
#include "support.hpp"

#include <memory>
#include <stdexcept>

namespace errc = boost::system::errc;
using boost::system::system_error;
using cosock::error;

using namespace std::chrono_literals;

namespace {

cosock::task<int> fail_with(boost::system::error_code code) {
  co_await cosock::yield();
  throw system_error(code);
}

cosock::task<> throw_other() {
  co_await cosock::yield();
  throw std::runtime_error("other");
}

cosock::task<std::string> give_text() { co_return "text"; }
cosock::task<> give_nothing() { co_return; }

std::exception_ptr of(auto e) { return std::make_exception_ptr(e); }

}  // namespace

BOOST_AUTO_TEST_CASE(errors_equal_their_portable_conditions) {
  const std::pair<error, errc::errc_t> table[] = {
      {error::cancelled, errc::operation_canceled},
      {error::timed_out, errc::timed_out},
      {error::closed, errc::bad_file_descriptor},
      {error::busy, errc::device_or_resource_busy},
      {error::end_of_stream, errc::no_message_available},
      {error::host_not_found, errc::host_unreachable},
      {error::service_not_found, errc::invalid_argument},
      {error::resolver_failed, errc::resource_unavailable_try_again},
      {error::invalid_address, errc::invalid_argument},
      {error::wrong_loop, errc::operation_not_permitted},
      {error::message_truncated, errc::message_size},
      {error::line_too_long, errc::message_size},
      {error::frame_too_long, errc::message_size},
      {error::malformed_frame, errc::bad_message},
      {error::slow_consumer, errc::no_buffer_space},
      {error::broken_promise, errc::owner_dead},
      {error::address_denied, errc::permission_denied},
      {error::too_many_descriptors, errc::message_size},
      {error::malformed_proxy_header, errc::bad_message},
      {error::untrusted_proxy, errc::permission_denied},
  };
  for (const auto& [e, condition] : table) {
    const boost::system::error_code code = e;
    BOOST_TEST_CONTEXT(code.message()) {
      BOOST_TEST((code == condition));
      BOOST_TEST((code == e));
      BOOST_TEST(code.failed());
      BOOST_TEST(code.category().name() == "cosock");
      BOOST_TEST(code.message() != "unknown error");
      for (const auto& [other, unused] : table)
        if (other != e) BOOST_TEST((code != other));
    }
  }
  BOOST_TEST((boost::system::error_code(error::cancelled) != error::timed_out));
}

COROUTINE_TEST_CASE(as_result_gives_values_and_codes) {
  auto text = co_await cosock::as_result(give_text());
  BOOST_TEST(*text == "text");
  auto nothing = co_await cosock::as_result(give_nothing());
  BOOST_TEST(nothing.has_value());
  auto own = co_await cosock::as_result(fail_with(error::busy));
  BOOST_TEST((own.error() == error::busy));
  const auto refused = errc::make_error_code(errc::connection_refused);
  auto system = co_await cosock::as_result(fail_with(refused));
  BOOST_TEST((system.error() == errc::connection_refused));
  auto slept = co_await cosock::as_result(cosock::sleep_for(0s));
  BOOST_TEST(slept.has_value());
}

COROUTINE_TEST_CASE(as_result_gives_values_of_every_type) {
  int target = 1;
  const auto refer = [&]() -> cosock::task<int&> { co_return target; };
  const auto own = []() -> cosock::task<std::unique_ptr<int>> {
    co_return std::make_unique<int>(2);
  };
  const auto reference = co_await cosock::as_result(refer());
  BOOST_TEST(&reference->get() == &target);
  auto owner = co_await cosock::as_result(own());
  BOOST_TEST(**owner == 2);
  const auto nested = co_await cosock::as_result(cosock::as_result(give_text()));
  BOOST_TEST(**nested == "text");
  const auto failed = co_await cosock::as_result(cosock::as_result(fail_with(error::busy)));
  BOOST_TEST((failed->error() == error::busy));
}

COROUTINE_TEST_CASE(as_result_gives_the_code_of_errors_that_are_derived) {
  const auto partial = []() -> cosock::task<int> {
    throw cosock::transfer_error(error::closed, 5);
    co_return 0;
  };
  const auto several = []() -> cosock::task<int> {
    throw cosock::multiple_errors({of(system_error(error::busy)), of(7)});
    co_return 0;
  };
  const auto one = co_await cosock::as_result(partial());
  BOOST_TEST((one.error() == error::closed));
  const auto many = co_await cosock::as_result(several());
  BOOST_TEST((many.error() == error::busy));
}

COROUTINE_TEST_CASE(as_result_lets_other_exceptions_pass) {
  BOOST_CHECK_EXCEPTION(co_await cosock::as_result(throw_other()), std::runtime_error,
                        [](const auto& e) { return e.what() == std::string("other"); });
}

COROUTINE_TEST_CASE(as_result_of_an_operation_gives_the_cancellation) {
  cosock::cancel_scope scope;
  scope.cancel();
  auto slept = co_await scope.run(cosock::as_result(cosock::sleep_for(1h)));
  BOOST_TEST((slept.error() == error::cancelled));
}

BOOST_AUTO_TEST_CASE(a_transfer_error_tells_the_bytes) {
  const cosock::transfer_error e(error::cancelled, 17);
  BOOST_TEST(e.bytes_transferred() == 17u);
  BOOST_TEST((e.code() == error::cancelled));
  BOOST_TEST(std::string(e.what()).find("after 17 bytes") == 0u);
}

BOOST_AUTO_TEST_CASE(multiple_errors_keep_all_and_name_all) {
  const cosock::multiple_errors e(
      {of(system_error(error::busy)), of(std::runtime_error("second"))});
  BOOST_TEST(e.errors().size() == 2u);
  BOOST_TEST((e.code() == error::busy));
  const std::string text = cosock::error_message(of(e));
  BOOST_TEST(text.find("2 tasks failed: ") == 0u);
  BOOST_TEST(text.find("another operation is pending") != text.npos);
  BOOST_TEST(text.find("second") != text.npos);
  const cosock::multiple_errors other({of(std::runtime_error("a")), of(system_error(error::busy))});
  BOOST_TEST((other.code() == errc::state_not_recoverable));
}

BOOST_AUTO_TEST_CASE(errors_are_caught_as_system_errors_and_as_themselves) {
  try {
    throw cosock::transfer_error(error::timed_out, 3);
  } catch (const system_error& e) {
    BOOST_TEST((e.code() == errc::timed_out));
  }
  const cosock::multiple_errors several({of(1), of(2), of(3)});
  const cosock::multiple_errors copy = several;
  BOOST_TEST(copy.errors().size() == 3u);
  BOOST_CHECK_THROW(std::rethrow_exception(copy.errors()[1]), int);
  BOOST_CHECK_THROW(throw copy, system_error);
}

BOOST_AUTO_TEST_CASE(several_errors_inside_several_errors_are_all_named) {
  const cosock::multiple_errors inner({of(std::runtime_error("a")), of(std::runtime_error("b"))});
  const cosock::multiple_errors outer({of(std::runtime_error("c")), of(inner)});
  BOOST_TEST(cosock::error_message(of(outer)) == "2 tasks failed: c; 2 tasks failed: a; b");
}

BOOST_AUTO_TEST_CASE(describe_takes_any_exception) {
  BOOST_TEST(cosock::error_message(of(std::runtime_error("text"))) == "text");
  BOOST_TEST(cosock::error_message(of(7)) == "unknown error");
  BOOST_TEST(cosock::error_message(nullptr) == "no error");
}

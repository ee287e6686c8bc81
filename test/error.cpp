// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/error.hpp>

#define BOOST_TEST_MODULE error
#include "support.hpp"

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
      {error::name_server, errc::resource_unavailable_try_again},
      {error::not_an_address, errc::invalid_argument},
      {error::other_loop, errc::operation_not_permitted},
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
  const cosock::multiple_errors e({of(system_error(error::busy)), of(std::runtime_error("second"))});
  BOOST_TEST(e.errors().size() == 2u);
  BOOST_TEST((e.code() == error::busy));
  const std::string text = cosock::describe(of(e));
  BOOST_TEST(text.find("2 tasks failed: ") == 0u);
  BOOST_TEST(text.find("another task waits") != text.npos);
  BOOST_TEST(text.find("second") != text.npos);
  const cosock::multiple_errors other({of(std::runtime_error("a")), of(system_error(error::busy))});
  BOOST_TEST((other.code() == errc::state_not_recoverable));
}

BOOST_AUTO_TEST_CASE(describe_takes_any_exception) {
  BOOST_TEST(cosock::describe(of(std::runtime_error("text"))) == "text");
  BOOST_TEST(cosock::describe(of(7)) == "unknown error");
  BOOST_TEST(cosock::describe(nullptr) == "no error");
}

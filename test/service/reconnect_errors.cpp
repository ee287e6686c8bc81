// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Which errors are followed by another attempt, and which end it.

#include <cosock/reconnect.hpp>

#define BOOST_TEST_MODULE reconnect_errors
#include "loop_endings.hpp"
#include "manual_event.hpp"
#include "reconnect_machine.hpp"
#include "stream_fixture.hpp"
#include "support.hpp"

#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using boost::system::system_error;
using cosock::error;
using cosock::reconnecting_client_options;
using cosock::retry_event;
using cosock::session_result;
using test::fail;
using test::instance_counter;
using test::is;
using test::machine;
using test::system_code;
using test::virtual_loop;
namespace errc = boost::system::errc;

}  // namespace

BOOST_AUTO_TEST_CASE(errors_that_no_retry_can_cure_end_it) {
  const error_code permanent[] = {
      error::service_not_found,
      error::invalid_address,
      error::wrong_loop,
      error::busy,
      error::address_denied,
      system_code(EACCES),
      system_code(EPERM),
      system_code(EAFNOSUPPORT),
      system_code(EINVAL),
      system_code(EPROTONOSUPPORT),
      system_code(ENAMETOOLONG),
      system_code(EPROTOTYPE),
      make_error_code(errc::permission_denied),
  };
  for (const error_code& why : permanent) {
    BOOST_TEST_CONTEXT(why.message()) {
      BOOST_TEST(cosock::is_permanent(why));
      for (const bool in_session : {false, true}) {
        machine m;
        m.in_session = [&]() -> session_result { fail(why, "with this text"); };
        if (!in_session) m.connecting = [&] { fail(why, "with this text"); };
        virtual_loop loop;
        BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [&](const system_error& e) {
          return e.code() == why && std::string(e.what()).starts_with("with this text");
        });
        BOOST_TEST(m.waits.empty());
        BOOST_TEST(m.sessions == (in_session ? 1 : 0));
        BOOST_TEST(instance_counter::alive == 0);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(errors_that_may_pass_are_retried) {
  const error_code passing[] = {
      error::host_not_found,
      error::resolver_failed,
      error::timed_out,
      error::end_of_stream,
      error::closed,
      error::cancelled,
      error::message_truncated,
      error::line_too_long,
      error::frame_too_long,
      error::malformed_frame,
      error::slow_consumer,
      error::too_many_descriptors,
      system_code(ECONNREFUSED),
      system_code(ECONNRESET),
      system_code(EPIPE),
      system_code(ETIMEDOUT),
      system_code(ENETUNREACH),
      system_code(EHOSTUNREACH),
      system_code(EADDRNOTAVAIL),
      system_code(EMFILE),
      system_code(ENOBUFS),
      system_code(ENOENT),
  };
  for (const error_code& why : passing) {
    BOOST_TEST_CONTEXT(why.message()) {
      BOOST_TEST(!cosock::is_permanent(why));
      machine m;
      m.connecting = [&] {
        if (m.connects == 1) fail(why);
      };
      m.in_session = [&] {
        if (m.sessions == 1) fail(why);
        return session_result::done;
      };
      virtual_loop loop;
      loop.run(m.run());
      BOOST_TEST(m.connects == 3);
      BOOST_TEST(m.waits.size() == 2u);
    }
  }
}

BOOST_AUTO_TEST_CASE(several_errors_are_retried_if_each_may_pass) {
  const auto of = [](auto exception) { return std::make_exception_ptr(exception); };
  const std::exception_ptr reset = of(system_error(system_code(ECONNRESET)));
  const auto runs = [&](const std::exception_ptr& other) {
    machine m;
    m.in_session = [&]() -> session_result {
      if (m.sessions == 2) return session_result::done;
      throw cosock::multiple_errors({reset, other});
    };
    virtual_loop loop;
    loop.run(m.run());
    BOOST_TEST(m.sessions == 2);
  };
  runs(of(system_error(system_code(EPIPE))));
  BOOST_CHECK_THROW(runs(of(system_error(system_code(EACCES)))), cosock::multiple_errors);
  BOOST_CHECK_THROW(runs(of(std::runtime_error("a bug"))), cosock::multiple_errors);
}

BOOST_AUTO_TEST_CASE(exceptions_that_are_no_system_error_end_it) {
  struct oddity {};
  for (const int where : {0, 1, 2, 3}) {
    auto observe = [&](const retry_event&) {
      if (where >= 2) throw oddity();
    };
    reconnecting_client_options options;
    options.on_retry = observe;
    machine m(options);
    m.connecting = [&] {
      if (where == 0) throw oddity();
    };
    m.in_session = [&]() -> session_result {
      if (where == 1) throw oddity();
      if (where == 2) fail(system_code(EPIPE));
      return session_result::reconnect;
    };
    virtual_loop loop;
    BOOST_CHECK_THROW(loop.run(m.run()), oddity);
    BOOST_TEST(instance_counter::alive == 0);
    BOOST_TEST(m.waits.empty());
    BOOST_TEST(m.connects == 1);
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_is_done_ends_it) {
  machine m;
  m.in_session = [] { return session_result::done; };
  virtual_loop loop;
  loop.run(m.run());
  BOOST_TEST(m.sessions == 1);
  BOOST_TEST(instance_counter::alive == 0);
  BOOST_TEST(!m.client.is_stopped());
  loop.run(m.run());  // it may run again
  BOOST_TEST(m.sessions == 2);
}

BOOST_AUTO_TEST_CASE(it_gives_up_after_so_many_attempts_in_a_row) {
  for (const std::size_t most : {1u, 2u, 5u}) {
    reconnecting_client_options options;
    options.max_attempts = most;
    machine m(options);
    m.connecting = [] { fail(system_code(ECONNREFUSED), "the last one"); };
    virtual_loop loop;
    for (std::size_t runs = 1; runs != 3; ++runs) {
      BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [](const system_error& e) {
        return is(errc::connection_refused)(e) && std::string(e.what()).starts_with("the last");
      });
      BOOST_TEST(static_cast<std::size_t>(m.connects) == runs * most);
      BOOST_TEST(m.waits.size() == runs * (most - 1));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_connection_that_has_lasted_is_no_attempt_that_failed) {
  reconnecting_client_options options;
  options.max_attempts = 3;
  machine m(options);
  m.in_session = [&] {
    if (m.sessions == 2 || m.sessions == 5) m.duration = 30s;
    return session_result::reconnect;
  };
  virtual_loop loop;
  BOOST_CHECK_EXCEPTION(loop.run(m.run()), system_error, [](const system_error& e) {
    return is(error::end_of_stream)(e) && e.what() == std::string("the connection has ended");
  });
  BOOST_TEST(m.sessions == 8);
}

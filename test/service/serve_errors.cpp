// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/serve.hpp>

#define BOOST_TEST_MODULE serve_errors
#include "fake_acceptor.hpp"
#include "virtual_time.hpp"

#include <cosock/acceptors.hpp>
#include <cosock/connect.hpp>
#include <cosock/tcp.hpp>
#include <cosock/when.hpp>

#include <dlfcn.h>
#include <sys/socket.h>

#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// What accept(2) says before it is asked.
std::deque<int> next_errors;

}  // namespace

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  using function = int (*)(int, sockaddr*, socklen_t*, int);
  static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "accept4"));
  if (next_errors.empty()) return real(fd, address, size, flags);
  errno = next_errors.front();
  next_errors.pop_front();
  return -1;
}

namespace {

using namespace test;
using cosock::as_result;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::local_stream_socket;
using cosock::serve_options;
using cosock::server_handle;
using cosock::task;
using cosock::tcp_acceptor;
using cosock::tcp_socket;

const endpoint any_port(cosock::address::loopback_v4(), 0);

struct observed {
  void operator()(const std::exception_ptr& e) { errors.push_back(cosock::error_message(e)); }
  std::vector<std::string> errors;
};

task<> hello(byte_stream& s) { co_await s.send("hello"); }

/// Every error of accept(2) that is not about the acceptor, before a client comes.
template <class Acceptor, class Connect>
task<> goes_on(Acceptor& acceptor, Connect connect) {
  server_handle handle;
  observed told;
  serve_options options{.on_error = told, .max_reports = {}};
  const auto clients = [&]() -> task<> {
    for (const int error :
         {ECONNABORTED,    ECONNRESET,      EHOSTDOWN,  EHOSTUNREACH, EINTR,  EMFILE,
          ENETDOWN,        ENETUNREACH,     ENFILE,     ENOBUFS,      ENOMEM, ENONET,
          ENOPROTOOPT,     ENOSR,           EOPNOTSUPP, EPERM,        EPERM,  EPROTO,
          EPROTONOSUPPORT, ESOCKTNOSUPPORT, ETIMEDOUT}) {
      next_errors.push_back(error);
      auto s = co_await connect();
      char into[5];
      co_await s.receive_exactly(into);
    }
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, &hello, handle, options), clients());
  BOOST_TEST(handle.counters().accepted == 21u);
  BOOST_TEST(handle.counters().rejected == 4u);
  BOOST_TEST(handle.counters().accept_errors == 9u);
  BOOST_TEST(handle.counters().failed == 0u);
  // Each once, with what it is about; those that are no more than a connection that died, not at all.
  std::vector<std::string> expected;
  for (const int error :
       {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT})
    expected.push_back(std::string("accept: ") + std::strerror(error));
  BOOST_TEST(told.errors == expected, boost::test_tools::per_element());
}

COROUTINE_TEST_CASE(errors_of_accept_that_may_pass_do_not_end_it) {
  tcp_acceptor acceptor(any_port);
  co_await goes_on(acceptor, [&] { return cosock::connect(acceptor.local_endpoint()); });
}

COROUTINE_TEST_CASE(nor_one_that_shares_its_port) {
  cosock::tcp_acceptors all(any_port, 1);
  tcp_acceptor acceptor = all.acceptor(0);
  co_await goes_on(acceptor, [&] { return cosock::connect(acceptor.local_endpoint()); });
}

COROUTINE_TEST_CASE(nor_a_local_one) {
  cosock::local_acceptor acceptor{cosock::local_endpoint()};
  co_await goes_on(acceptor, [&] { return cosock::connect(acceptor.local_endpoint()); });
}

COROUTINE_TEST_CASE(nor_one_that_takes_turns) {
  cosock::local_acceptors all{cosock::local_endpoint(), 1};
  auto acceptor = all.acceptor(0);
  co_await goes_on(acceptor, [&] { return cosock::connect(all.local_endpoint()); });
}

/// An error of one connection that comes without end is waited out like the others, after 64.
VIRTUAL_TEST_CASE(errors_that_stay_do_not_make_it_spin) {
  for (const int error : {EPERM, ECONNABORTED}) {
    fake_acceptor acceptor;
    for (int i = 0; i != 500; ++i) acceptor.fail(error);
    server_handle handle;
    const serve_options options{.max_reports = 0};
    const auto ended = co_await as_result(
        cosock::with_timeout(10s, cosock::serve(acceptor, &hello, handle, options)));
    BOOST_TEST((ended.error() == cosock::error::timed_out));
    BOOST_TEST(acceptor.tries == (error == EPERM ? 17 : 64 + 17));
    BOOST_TEST(handle.counters().accept_errors + 1 >= static_cast<unsigned>(acceptor.tries));
  }
}

/// Has so many handlers fail, and gives what the observer was told.
task<std::vector<std::string>> many_failures(std::optional<std::uint32_t> max_reports, int many,
                                             cosock::serve_counters& counters) {
  fake_acceptor acceptor;
  server_handle handle;
  observed told;
  const serve_options options{.on_error = told, .max_reports = max_reports};
  const auto fails = [](local_stream_socket&) -> task<> {
    throw std::runtime_error("no");
    co_return;
  };
  const auto clients = [&]() -> task<> {
    for (int i = 0; i != many; ++i) static_cast<void>(acceptor.connect());
    while (handle.counters().failed != static_cast<unsigned>(many)) co_await cosock::yield();
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, fails, handle, options), clients());
  counters = handle.counters();
  co_return told.errors;
}

VIRTUAL_TEST_CASE(reports_are_limited) {
  cosock::serve_counters counters;
  const auto told = co_await many_failures(serve_options().max_reports, 100, counters);
  // Ten a second; the number of the others when it ends.
  BOOST_TEST(told.size() == 11u);
  BOOST_TEST(told.front() == "no");
  BOOST_TEST(told.back() == "errors of connections that were not reported: 90");
  BOOST_TEST(counters.failed == 100u);
  BOOST_TEST(counters.unreported == 90u);
}

VIRTUAL_TEST_CASE(reports_without_a_limit_and_none) {
  cosock::serve_counters counters;
  const auto all = co_await many_failures(std::nullopt, 100, counters);
  BOOST_TEST(all.size() == 100u);
  BOOST_TEST(counters.unreported == 0u);
  const auto none = co_await many_failures(0u, 100, counters);
  BOOST_TEST(none.empty());
  BOOST_TEST(counters.unreported == 100u);
}

/// Once a second has passed, the number of those left out comes first.
VIRTUAL_TEST_CASE(the_number_left_out_is_reported_before_the_next_error) {
  fake_acceptor acceptor;
  server_handle handle;
  observed told;
  const serve_options options{.on_error = told, .max_reports = 1};
  const auto fails = [](local_stream_socket&) -> task<> {
    throw std::runtime_error("no");
    co_return;
  };
  const auto clients = [&]() -> task<> {
    for (int i = 0; i != 5; ++i) static_cast<void>(acceptor.connect());
    while (handle.counters().failed != 5u) co_await cosock::yield();
    BOOST_TEST(told.errors.size() == 1u);
    while (told.errors.size() == 1u) {
      static_cast<void>(acceptor.connect());
      co_await cosock::sleep_for(50ms);
    }
    BOOST_TEST(told.errors.size() == 3u);
    BOOST_TEST(told.errors[1] == "errors of connections that were not reported: 24");
    BOOST_TEST(told.errors[2] == "no");
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(acceptor, fails, handle, options), clients());
}

int told_errors = 0;
void tell(const std::exception_ptr&) { ++told_errors; }

BOOST_AUTO_TEST_CASE(functions_and_lambdas_observe) {
  told_errors = 0;
  int by_object = 0;
  const auto capturing = [&](const std::exception_ptr&) { ++by_object; };
  std::optional<cosock::error_observer> named;
  {
    const auto plain = [](const std::exception_ptr& e) { tell(e); };
    named = plain;  // copied: the lambda ends before the call
  }
  const std::exception_ptr error = std::make_exception_ptr(std::runtime_error("x"));
  for (const cosock::error_observer& observer :
       {cosock::error_observer(tell), cosock::error_observer(&tell), *named,
        cosock::error_observer([](const std::exception_ptr& e) { tell(e); }),
        cosock::error_observer(capturing)})
    observer(error);
  BOOST_TEST(told_errors == 4);
  BOOST_TEST(by_object == 1);
  const serve_options options{.on_error = tell};
  options.on_error(error);
  BOOST_TEST(told_errors == 5);
}

}  // namespace

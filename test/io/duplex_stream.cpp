// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/duplex_stream.hpp>

#define BOOST_TEST_MODULE duplex_stream
#include "stream_conformance.hpp"

#include <cosock/when.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::byte_stream;
using cosock::descriptor_stream;
using cosock::duplex_stream;
using cosock::error;
using cosock::task;
using test::is;
namespace errc = boost::system::errc;

/// The two ends of a pipe: to receive from, and to send to.
std::pair<descriptor_stream, descriptor_stream> make_pipe() {
  int fds[2];
  test::check(::pipe2(fds, O_CLOEXEC) == 0, "pipe2");
  auto in = descriptor_stream::adopt(fds[0]);
  return {std::move(in), descriptor_stream::adopt(fds[1])};
}

/// Two of them, over two pipes.
task<stream_pair> over_pipes() {
  auto [first_in, second_out] = make_pipe();
  auto [second_in, first_out] = make_pipe();
  co_return stream_pair(
      std::make_unique<duplex_stream>(std::move(first_in), std::move(first_out)),
      std::make_unique<duplex_stream>(std::move(second_in), std::move(second_out)));
}

const register_suite pipes("duplex_over_pipes", over_pipes);

/// A program whose standard input and output are the stream.
struct child {
  explicit child(const char* program) {
    int to[2];
    int from[2];
    test::check(::pipe2(to, O_CLOEXEC) == 0 && ::pipe2(from, O_CLOEXEC) == 0, "pipe2");
    pid = ::fork();
    test::check(pid >= 0, "fork");
    if (pid == 0) {
      ::dup2(to[0], 0);
      ::dup2(from[1], 1);
      ::execlp(program, program, nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    auto in = descriptor_stream::adopt(from[0]);
    stream = duplex_stream(std::move(in), descriptor_stream::adopt(to[1]));
  }
  ~child() { ::waitpid(pid, nullptr, 0); }
  duplex_stream stream;
  pid_t pid;
};

}  // namespace

COROUTINE_TEST_CASE(a_child_process_is_a_stream) {
  child cat("cat");
  co_await cat.stream.send("to the child and back");
  std::array<char, 21> memory;
  co_await cat.stream.receive_exactly(memory);
  BOOST_TEST(std::string(memory.data(), memory.size()) == "to the child and back");
  cat.stream.shutdown_send();  // cat ends
  BOOST_TEST(co_await cat.stream.receive(memory) == 0u);
  BOOST_CHECK_EXCEPTION(co_await cat.stream.send("a"), system_error, is(errc::broken_pipe));
  cat.stream.shutdown_send();
}

COROUTINE_TEST_CASE(it_may_be_moved_while_operations_wait) {
  auto [in, far_out] = make_pipe();
  auto [far_in, out] = make_pipe();
  std::optional<duplex_stream> first(std::in_place, std::move(in), std::move(out));
  std::array<char, 1> memory;
  const auto move = [&, &far_out = far_out]() -> task<> {
    co_await cosock::yield();
    duplex_stream second(std::move(*first));
    BOOST_TEST(!first->is_open());
    first = std::move(second);
    co_await far_out.send("a");
  };
  co_await cosock::when_all(first->receive(memory), move());
  BOOST_TEST(memory[0] == 'a');
}

COROUTINE_TEST_CASE(a_closed_part_is_refused) {
  auto [in, out] = make_pipe();
  out.close();
  BOOST_CHECK_EXCEPTION(duplex_stream(std::move(in), std::move(out)), system_error,
                        is(error::closed));
  duplex_stream none;
  BOOST_TEST(!none.is_open());
  none.close();
  BOOST_CHECK_EXCEPTION(none.shutdown_send(), system_error, is(error::closed));
  BOOST_CHECK_EXCEPTION(co_await none.send("a"), system_error, is(error::closed));
}

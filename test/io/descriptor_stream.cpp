// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/descriptor_stream.hpp>

#define BOOST_TEST_MODULE descriptor_stream
#include "descriptor_tools.hpp"

#include <sys/eventfd.h>
#include <sys/wait.h>

#include <csignal>
#include <optional>

namespace {

using namespace test;
using cosock::error;

unique_descriptor opened(const char* name, int flags = O_RDWR) {
  return unique_descriptor::adopt(::open(name, flags | O_CLOEXEC));
}

}  // namespace

COROUTINE_TEST_CASE(adopt_keeps_the_number_and_duplicate_makes_one) {
  auto [in, out] = make_pipe();
  const int number = in.get();
  const auto other = share(in);
  ::fcntl(number, F_SETFD, 0);
  {
    auto duplicate = descriptor_stream::duplicate(number);
    BOOST_TEST(duplicate.native_handle() != number);
    BOOST_TEST(duplicate.native_handle() > 2);
    BOOST_TEST(::fcntl(duplicate.native_handle(), F_GETFD) == FD_CLOEXEC);
  }
  BOOST_TEST(::fcntl(number, F_GETFD) == 0);
  auto stream = descriptor_stream::adopt(in.release());
  BOOST_TEST(stream.native_handle() == number);
  BOOST_TEST(::fcntl(number, F_GETFD) == FD_CLOEXEC);
  BOOST_TEST(is_blocking(other.get()));
  stream.close();
  BOOST_TEST(stream.native_handle() == -1);
  BOOST_TEST(::fcntl(number, F_GETFD) == -1);
  BOOST_TEST(is_blocking(other.get()));
  co_return;
}

COROUTINE_TEST_CASE(bad_descriptors_are_refused) {
  const std::size_t before = open_descriptors();
  BOOST_CHECK_EXCEPTION((void)descriptor_stream::adopt(-1), boost::system::system_error,
                        is(errc::bad_file_descriptor));
  BOOST_CHECK_EXCEPTION((void)descriptor_stream::duplicate(-1), boost::system::system_error,
                        is(errc::bad_file_descriptor));
  BOOST_CHECK_EXCEPTION((void)descriptor_stream::adopt(opened("/dev/null", O_PATH).release()),
                        boost::system::system_error, is(errc::bad_file_descriptor));
  BOOST_TEST(open_descriptors() == before);
  co_return;
}

COROUTINE_TEST_CASE(the_null_device_is_always_ready) {
  auto null = descriptor_stream::adopt(opened("/dev/null").release());
  char into[8];
  for (int round = 0; round != 2; ++round) {
    BOOST_TEST(co_await null.receive(into) == 0u);
    BOOST_TEST(co_await null.send("gone") == 4u);
    BOOST_TEST(co_await null.send_some("gone") == 4u);
    co_await null.wait_readable();
    co_await null.wait_writable();
    const outcome exactly = co_await outcome_of(null.receive_exactly(into));
    BOOST_TEST(exactly.is(error::end_of_stream));
  }
  byte_pattern l;
  for (const operation which : all_operations) {
    const outcome late = co_await cosock::with_deadline(cosock::clock::time_point(),
                                                        perform(which, null, into, l, 1000));
    BOOST_TEST(late.is(error::cancelled));
    const outcome limited = co_await cosock::with_timeout(1s, perform(which, null, into, l, 1000));
    BOOST_TEST(!limited.is(error::cancelled));
  }
  BOOST_CHECK_EXCEPTION(null.shutdown_send(), boost::system::system_error,
                        is(errc::operation_not_supported));
  null.close();
  for (const operation which : all_operations)
    BOOST_TEST((co_await perform(which, null, into, l, 1000)).is(error::closed));
  BOOST_CHECK_EXCEPTION(null.shutdown_send(), boost::system::system_error, is(error::closed));
}

BOOST_AUTO_TEST_CASE(the_null_device_outlives_its_loop) {
  std::optional<descriptor_stream> null;
  {
    cosock::loop loop;
    loop.run([](auto& null) -> task<> {
      null.emplace(descriptor_stream::adopt(opened("/dev/null").release()));
      co_return;
    }(null));
    auto waits = loop.start([](auto& null) -> task<> {
      co_await null->send("gone");
      co_await cosock::sleep_for(1h);
    }(null));
    loop.poll();
    BOOST_TEST(!waits.done());
  }
  BOOST_TEST(!null->is_open());
}

COROUTINE_TEST_CASE(other_devices_and_files) {
  char into[64];
  auto zero = descriptor_stream::adopt(opened("/dev/zero").release());
  BOOST_TEST(co_await zero.receive_exactly(into) == sizeof into);
  auto full = descriptor_stream::adopt(opened("/dev/full").release());
  BOOST_TEST((co_await outcome_of(full.send("x"))).error == errc::no_space_on_device);

  auto file = opened("/tmp", O_TMPFILE | O_RDWR);
  const auto other = share(file);
  auto stream = descriptor_stream::adopt(file.release());
  co_await stream.send("a regular file");
  BOOST_TEST(co_await stream.receive(into) == 0u);
  ::lseek(other.get(), 0, SEEK_SET);
  BOOST_TEST(co_await receive_some(stream) == "a regular file");
  BOOST_TEST((co_await outcome_of(stream.receive_exactly(into))).is(error::end_of_stream));
}

COROUTINE_TEST_CASE(the_wrong_direction_is_an_error) {
  auto [in, out] = make_pipe();
  char into[8];
  auto from = descriptor_stream::adopt(in.release());
  auto to = descriptor_stream::adopt(out.release());
  BOOST_TEST((co_await outcome_of(from.send("x"))).error == errc::bad_file_descriptor);
  BOOST_TEST((co_await outcome_of(to.receive(into))).error == errc::bad_file_descriptor);
}

/// A counter: reads do not wait in the system, writes that have to do so are made by a thread.
COROUTINE_TEST_CASE(an_eventfd_is_a_stream_of_numbers) {
  for (const int flags : {0, int{EFD_NONBLOCK}}) {
    BOOST_TEST_INFO_SCOPE("flags " << flags);
    const auto other = unique_descriptor::adopt(::eventfd(0, EFD_CLOEXEC | flags));
    auto events = descriptor_stream::duplicate(other.get());
    std::uint64_t n = 0;
    const cosock::mutable_buffer into(&n, sizeof n);
    BOOST_TEST((co_await outcome_of(cosock::with_timeout(1ms, events.receive(into))))
                   .is(error::timed_out));
    const std::uint64_t most = ~std::uint64_t{1};
    co_await events.send(const_buffer(&most, sizeof most));
    BOOST_TEST((co_await outcome_of(cosock::with_timeout(1ms, events.wait_writable())))
                   .is(error::timed_out));
    pending_op send;
    co_await cosock::with_nursery([&](nursery& all) -> task<> {
      const std::uint64_t one = 1;
      start(all, send, [&] { return events.send(const_buffer(&one, sizeof one)); });
      co_await let_others_run();
      BOOST_TEST(!send.done);
      BOOST_TEST(co_await events.receive_exactly(into) == sizeof n);
      BOOST_TEST(n == most);
      co_await ended(send);
    });
    BOOST_TEST(co_await events.receive_exactly(into) == sizeof n);
    BOOST_TEST(n == 1u);
    BOOST_TEST(is_blocking(other.get()) == (flags == 0));
  }
}

COROUTINE_TEST_CASE(a_socket_can_be_shut_down) {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    auto [one, other] = make_socket_pair(type);
    const auto shared = share(one);
    auto stream = descriptor_stream::adopt(one.release());
    auto peer = descriptor_stream::adopt(other.release());
    co_await stream.send("last");
    stream.shutdown_send();
    BOOST_TEST(co_await receive_some(peer) == "last");
    BOOST_TEST(co_await receive_some(peer) == "");
    co_await peer.send("answer");
    BOOST_TEST(co_await receive_some(stream) == "answer");
    BOOST_TEST((co_await outcome_of(stream.send("x"))).error == errc::broken_pipe);
    BOOST_TEST(is_blocking(shared.get()));
  }
}

/// Without a reader there is an error and no signal; the end of a pipe is the end of the stream.
COROUTINE_TEST_CASE(pipes_end_without_a_signal) {
  struct sigaction before;
  struct sigaction fatal = {};
  BOOST_REQUIRE(::sigaction(SIGPIPE, &fatal, &before) == 0);
  for (const auto make : {make_pipe, make_fifo}) {
    for (const bool permission : {true, false}) {
      BOOST_TEST_INFO_SCOPE("permission " << permission);
      auto [in, out] = make();
      auto to = adopted(std::move(out), permission);
      co_await to.send("kept");
      auto from = adopted(std::move(in), permission);
      to.close();
      BOOST_TEST(co_await receive_some(from) == "kept");
      BOOST_TEST(co_await receive_some(from) == "");
      BOOST_TEST(co_await receive_some(from) == "");

      auto [reader, writer] = make();
      auto broken = adopted(std::move(writer), permission);
      reader.close();
      BOOST_TEST((co_await send_until_error(broken)) == errc::broken_pipe);
      BOOST_TEST((co_await outcome_of(broken.send("x"))).error == errc::broken_pipe);
    }
  }
  // What had ended before it came here.
  auto [ended, closed] = make_fifo();
  closed.close();
  auto stream = descriptor_stream::adopt(ended.release());
  BOOST_TEST(co_await receive_some(stream) == "");
  ::sigaction(SIGPIPE, &before, nullptr);
}

/// RWF_NOWAIT is taken from a pipe that somebody splices into.
COROUTINE_TEST_CASE(a_pipe_that_is_spliced_goes_on) {
  auto [in, out] = make_pipe();
  auto [source, feed] = make_pipe();
  const auto shared_in = share(in);
  const auto shared_out = share(out);
  auto from = adopt_without_permission(std::move(in));
  auto to = adopt_without_permission(std::move(out));
  co_await to.send("one");
  BOOST_TEST(co_await receive_some(from) == "one");
  write_all(feed.get(), "two");
  BOOST_REQUIRE(::splice(source.get(), nullptr, shared_out.get(), nullptr, 3, 0) == 3);
  BOOST_TEST(co_await receive_some(from) == "two");
  write_all(shared_out.get(), "three");
  BOOST_REQUIRE(::splice(shared_in.get(), nullptr, feed.get(), nullptr, 5, 0) == 5);
  co_await to.send("four");
  BOOST_TEST(co_await receive_some(from) == "four");
}

/// Another process writes to the same pipe in blocking mode: it waits, and is not told to try
/// again.
COROUTINE_TEST_CASE(a_full_pipe_that_another_process_writes_to) {
  for (const bool permission : {true, false}) {
    auto [in, out] = make_pipe();
    const auto shared = share(out);
    auto to = adopted(std::move(out), permission);
    byte_pattern l;
    l.sent(co_await outcome_of(cosock::with_timeout(10ms, to.send(l.next(8 << 20)))));
    const pid_t child = ::fork();
    if (child == 0) {
      const bool written = ::write(shared.get(), "child", 5) == 5;  // waits for room
      ::_exit(written && is_blocking(shared.get()) ? 0 : 1);
    }
    std::string all;
    auto from = descriptor_stream::adopt(in.release());
    const outcome none = co_await outcome_of(cosock::with_timeout(1ms, to.send_some("x")));
    BOOST_TEST(none.is(error::timed_out));
    while (all.find("child") == all.npos) all += co_await receive_some(from);
    int status = 1;
    BOOST_TEST(::waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
    BOOST_TEST(all.size() == l.in + 5);
    BOOST_TEST(l.received(all.data(), l.in));
  }
}

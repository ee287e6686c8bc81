// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Files as streams: the position, what is written when, errors, cancellation, and the end.

#include <cosock/file.hpp>

#define BOOST_TEST_MODULE file_stream
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/cancel.hpp>
#include <cosock/copy.hpp>
#include <cosock/finish.hpp>
#include <cosock/loop.hpp>
#include <cosock/reader.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <memory>
#include <string>

using boost::system::system_error;
using cosock::as_result;
using cosock::error;
using cosock::file_mode;
using cosock::file_stream;
using cosock::open_file;
using cosock::read_file;
using cosock::task;
using cosock::write_file;
using test::contains;
using test::temporary_folder;

namespace {

task<std::string> receive_all(file_stream& from) {
  std::string all;
  char buffer[1000];
  while (const std::size_t n = co_await from.receive(buffer)) all.append(buffer, n);
  co_return all;
}

std::string numbered_lines(int count) {
  std::string lines;
  for (int i = 0; i != count; ++i) lines += "line " + std::to_string(i) + '\n';
  return lines;
}

/// A file that can be overwritten, but cannot grow.
class file_without_room {
 public:
  explicit file_without_room(std::size_t size)
      : fd_(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    test::check(fd_ >= 0 && ::ftruncate(fd_, static_cast<off_t>(size)) == 0 &&
                    ::fcntl(fd_, F_ADD_SEALS, F_SEAL_GROW) == 0,
                "memfd_create");
  }
  ~file_without_room() { ::close(fd_); }
  file_without_room(const file_without_room&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

// Transfers

COROUTINE_TEST_CASE(a_file_is_read_to_its_end_and_on_when_it_grows) {
  const temporary_folder folder;
  const std::string content = numbered_lines(100'000);
  co_await write_file(folder / "f", content, {.sync = false});
  file_stream file = co_await open_file(folder / "f");
  BOOST_TEST((co_await receive_all(file) == content));
  BOOST_TEST(file.position() == content.size());
  char byte;
  BOOST_TEST(co_await file.receive(cosock::buffer(&byte, 1)) == 0u);  // again

  file_stream other = co_await open_file(folder / "f", file_mode::append);
  co_await other.send("more");
  co_await other.finish();
  BOOST_TEST(co_await receive_all(file) == "more");
}

COROUTINE_TEST_CASE(small_sends_are_written_in_order) {
  const temporary_folder folder;
  std::string expected;
  file_stream file = co_await open_file(folder / "f", file_mode::write);
  for (int i = 0; i != 20'000; ++i) {
    const std::string line = "line " + std::to_string(i) + '\n';
    BOOST_TEST_REQUIRE(co_await file.send(line) == line.size());
    expected += line;
  }
  BOOST_TEST(file.position() == expected.size());
  co_await file.finish();
  BOOST_TEST(!file.is_open());
  BOOST_TEST((co_await read_file(folder / "f") == expected));
}

COROUTINE_TEST_CASE(large_sends_are_written_whole) {
  const temporary_folder folder;
  const std::string content = numbered_lines(300'000);
  file_stream file = co_await open_file(folder / "f", file_mode::create);
  BOOST_TEST(co_await file.send(content) == content.size());
  co_await file.finish();
  BOOST_TEST((co_await read_file(folder / "f") == content));
}

COROUTINE_TEST_CASE(a_file_is_emptied_when_it_is_opened_to_be_written) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("before"));
  file_stream file = co_await open_file(folder / "f", file_mode::write);
  BOOST_TEST(co_await file.size() == 0u);
}

COROUTINE_TEST_CASE(a_file_is_moved_while_it_waits) {
  const temporary_folder folder;
  const std::string content = numbered_lines(100'000);
  // Between the two calls on threads that each of them makes.
  const auto moved_during = [&](auto operation) -> task<std::string> {
    file_stream file = co_await open_file(folder / "f", file_mode::write);
    co_await file.send(content);
    file_stream other = co_await open_file(folder / "other", file_mode::write);
    co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
      n.start([&]() -> task<> { co_await operation(file); });
      co_await cosock::yield();
      other = std::move(file);
    });
    co_await other.finish();
    co_return co_await read_file(folder / "f");
  };
  const auto size = [&](file_stream& file) -> task<> {
    BOOST_TEST(co_await file.size() == content.size());
  };
  const auto sync = [](file_stream& file) -> task<> { co_await file.sync(); };
  const auto resize = [](file_stream& file) -> task<> { co_await file.resize(7); };
  BOOST_TEST((co_await moved_during(size) == content));
  BOOST_TEST((co_await moved_during(sync) == content));
  BOOST_TEST(co_await moved_during(resize) == content.substr(0, 7));
}

COROUTINE_TEST_CASE(a_receive_finds_what_was_sent_before_it) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("0123456789"));
  file_stream file = co_await open_file(folder / "f", file_mode::update);
  char two[2];
  co_await file.receive_exactly(two);  // which reads ahead
  BOOST_TEST(std::string(two, 2) == "01");
  BOOST_TEST(co_await file.send("ab") == 2u);
  BOOST_TEST(file.position() == 4u);
  BOOST_TEST(co_await receive_all(file) == "456789");
  file.seek(0);
  BOOST_TEST(co_await receive_all(file) == "01ab456789");
  BOOST_TEST(co_await file.send("!") == 1u);
  BOOST_TEST(co_await file.size() == 11u);
}

COROUTINE_TEST_CASE(sends_after_a_seek_go_to_the_new_position) {
  const temporary_folder folder;
  file_stream file = co_await open_file(folder / "f", file_mode::write);
  for (const std::uint64_t at : {4u, 0u, 2u, 8u}) {
    file.seek(at);
    co_await file.send(std::string(2, static_cast<char>('a' + at)));
  }
  co_await file.finish();
  BOOST_TEST(co_await read_file(folder / "f") == std::string("aaccee\0\0ii", 10));
}

COROUTINE_TEST_CASE(appended_bytes_go_to_the_end_wherever_the_position_is) {
  const temporary_folder folder;
  file_stream one = co_await open_file(folder / "f", file_mode::append);
  file_stream other = co_await open_file(folder / "f", file_mode::append);
  co_await one.send("one ");
  co_await one.sync();
  co_await other.send("two ");
  co_await other.sync();
  one.seek(0);
  co_await one.send("three");
  co_await one.finish();
  BOOST_TEST(co_await read_file(folder / "f") == "one two three");
}

COROUTINE_TEST_CASE(a_file_is_cut_and_extended) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("0123456789"));
  file_stream file = co_await open_file(folder / "f", file_mode::update);
  char two[2];
  co_await file.receive_exactly(two);
  co_await file.resize(4);
  BOOST_TEST(co_await receive_all(file) == "23");
  co_await file.resize(6);
  BOOST_TEST(co_await receive_all(file) == std::string(2, '\0'));
  const auto refused = co_await as_result(file.resize(~std::uint64_t{0}));
  BOOST_TEST(refused.error() == boost::system::errc::invalid_argument);
}

COROUTINE_TEST_CASE(readers_and_copies_work_on_files) {
  const temporary_folder folder;
  const std::string content = numbered_lines(10'000);
  co_await write_file(folder / "f", content, {.sync = false});
  file_stream from = co_await open_file(folder / "f");
  file_stream to = co_await open_file(folder / "g", file_mode::create);
  BOOST_TEST(co_await cosock::copy(from, to) == content.size());
  co_await to.finish();
  BOOST_TEST((co_await read_file(folder / "g") == content));

  from.seek(0);
  cosock::buffered_reader reader(from);
  int lines = 0;
  while (const auto line = co_await reader.read_line())
    BOOST_TEST_REQUIRE(*line == "line " + std::to_string(lines++));
  BOOST_TEST(lines == 10'000);
}

COROUTINE_TEST_CASE(a_file_becomes_readable_and_is_always_writable) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("x"));
  file_stream file = co_await open_file(folder / "f", file_mode::update);
  char byte = 0;
  BOOST_TEST((file.try_receive(cosock::buffer(&byte, 1)) == std::nullopt));
  co_await file.wait_readable();
  BOOST_TEST((file.try_receive(cosock::buffer(&byte, 1)) == 1u));
  BOOST_TEST(byte == 'x');
  co_await file.wait_writable();
  BOOST_TEST((file.try_send_some(std::string_view("y")) == 1u));
  BOOST_TEST(co_await file.size() == 2u);
}

// Errors

COROUTINE_TEST_CASE(an_open_that_fails_names_the_path) {
  const temporary_folder folder;
  ::mkfifo((folder / "pipe").c_str(), 0600);
  co_await write_file(folder / "f", std::string_view("x"));
  const auto fails = [&](std::string path, file_mode mode, boost::system::errc::errc_t code,
                         std::string_view text) -> task<> {
    const auto result = co_await as_result(open_file(path, mode));
    BOOST_TEST(!result);
    BOOST_TEST(result.error() == code);
    const std::string message = cosock::error_message(result.error());
    BOOST_TEST(contains(message, path.c_str()), message);
    BOOST_TEST(contains(message, text), message);
  };
  using namespace boost::system::errc;
  co_await fails(folder / "none", file_mode::read, no_such_file_or_directory, "No such file");
  co_await fails(folder / "none", file_mode::update, no_such_file_or_directory, "No such file");
  co_await fails(folder / "f", file_mode::create, file_exists, "File exists");
  co_await fails(folder.path(), file_mode::write, is_a_directory, "directory");
  co_await fails(folder.path(), file_mode::read, operation_not_supported, "is not a regular file");
  co_await fails(folder / "pipe", file_mode::read, operation_not_supported,
                 "is not a regular file");
  co_await fails(folder / std::string_view("f\0g", 3), file_mode::read, invalid_argument, "NUL");
  const auto bits =
      co_await as_result(open_file(folder / "g", file_mode::write, {.permissions = 010000}));
  BOOST_TEST(contains(cosock::error_message(bits.error()), "010000; accepted: 0 to 07777"));
  BOOST_TEST(!test::exists(folder / "g"));
}

COROUTINE_TEST_CASE(a_file_has_the_directions_for_which_it_was_opened) {
  const temporary_folder folder;
  file_stream written = co_await open_file(folder / "f", file_mode::write);
  char byte;
  const auto received = co_await as_result(written.receive(cosock::buffer(&byte, 1)));
  BOOST_TEST(received.error() == boost::system::errc::bad_file_descriptor);
  file_stream read = co_await open_file(folder / "f");
  const auto sent = co_await as_result(read.send("x"));
  BOOST_TEST(sent.error() == boost::system::errc::bad_file_descriptor);
  BOOST_CHECK_EXCEPTION(written.shutdown_send(), system_error,
                        test::is(boost::system::errc::operation_not_supported));
}

COROUTINE_TEST_CASE(a_write_that_fails_is_reported_by_what_follows) {
  const file_without_room full(10);
  file_stream file = co_await open_file(full.path(), file_mode::update);
  co_await file.send("0123456789");
  co_await file.sync();
  co_await file.send("x");  // it is in the buffer
  const auto synced = co_await as_result(file.sync());
  BOOST_TEST(synced.error() == boost::system::errc::operation_not_permitted);
  const auto sent = co_await as_result(file.send("y"));
  BOOST_TEST(sent.error() == boost::system::errc::operation_not_permitted);
  const auto sized = co_await as_result(file.size());
  BOOST_TEST(sized.error() == boost::system::errc::operation_not_permitted);
  file.seek(0);
  BOOST_TEST(co_await receive_all(file) == "0123456789");
  const auto finished = co_await as_result(file.finish());
  BOOST_TEST(finished.error() == boost::system::errc::operation_not_permitted);
  BOOST_TEST(!file.is_open());
}

COROUTINE_TEST_CASE(a_position_that_no_file_has_is_refused) {
  const temporary_folder folder;
  file_stream file = co_await open_file(folder / "f", file_mode::write);
  BOOST_CHECK_EXCEPTION(file.seek(std::uint64_t{1} << 63), system_error, [](const system_error& e) {
    return e.code() == boost::system::errc::invalid_argument &&
           contains(e.what(), "9223372036854775808 is not a position; accepted: 0 to 2^63 - 1");
  });
  file.seek((std::uint64_t{1} << 63) - 1);
  co_await file.send("x");
  const auto synced = co_await as_result(file.sync());
  BOOST_TEST(!synced);  // the system says no
}

// Cancellation

COROUTINE_TEST_CASE(a_cancelled_receive_has_taken_nothing) {
  const temporary_folder folder;
  const std::string content = numbered_lines(1000);
  co_await write_file(folder / "f", content, {.sync = false});
  file_stream file = co_await open_file(folder / "f");
  std::string all;
  char buffer[100];
  for (bool cancels = true;; cancels = !cancels) {
    cosock::cancel_scope scope;
    const auto receive = [&]() -> task<bool> {
      const auto got = co_await as_result(scope.run(file.receive(buffer)));
      if (got) all.append(buffer, *got);
      if (!got) BOOST_TEST(got.error() == error::cancelled);
      co_return got&&* got == 0;
    };
    const auto cancel = [&]() -> task<> {
      if (cancels) scope.cancel();
      co_return;
    };
    const auto [ended, unit] = co_await cosock::when_all(receive(), cancel());
    if (ended) break;
  }
  BOOST_TEST((all == content));
}

COROUTINE_TEST_CASE(a_cancelled_send_has_written_what_it_reports) {
  const temporary_folder folder;
  const std::string content = numbered_lines(1'000'000);
  file_stream file = co_await open_file(folder / "f", file_mode::write);
  cosock::cancel_scope scope;
  std::size_t sent = 0;
  const auto send = [&]() -> task<> {
    try {
      sent = co_await scope.run(file.send(content));
    } catch (const cosock::transfer_error& e) {
      sent = e.bytes_transferred();
    }
  };
  const auto cancel = [&]() -> task<> {
    co_await cosock::yield();
    scope.cancel();
  };
  co_await cosock::when_all(send(), cancel());
  BOOST_TEST(sent > 0u);
  BOOST_TEST(file.position() == sent);
  co_await file.finish();
  BOOST_TEST((co_await read_file(folder / "f") == content.substr(0, sent)));
}

COROUTINE_TEST_CASE(a_direction_is_busy_for_a_second_operation_and_for_a_seek) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("x"));
  file_stream file = co_await open_file(folder / "f");
  char byte;
  const auto first = [&]() -> task<> {
    BOOST_TEST(co_await file.receive(cosock::buffer(&byte, 1)) == 1u);
  };
  const auto second = [&]() -> task<> {
    char other;
    const auto result = co_await as_result(file.receive(cosock::buffer(&other, 1)));
    BOOST_TEST(result.error() == error::busy);
    BOOST_CHECK_EXCEPTION(file.seek(0), system_error, test::is(error::busy));
  };
  co_await cosock::when_all(first(), second());
}

// The end

COROUTINE_TEST_CASE(what_was_sent_is_written_after_close) {
  const temporary_folder folder;
  const std::string content = numbered_lines(10'000);
  {
    file_stream file = co_await open_file(folder / "f", file_mode::write);
    co_await file.send(content);
    file.close();
    const auto later = co_await as_result(file.send("x"));
    BOOST_TEST(later.error() == error::closed);
    BOOST_CHECK_EXCEPTION(file.seek(0), system_error, test::is(error::closed));
    const auto sized = co_await as_result(file.size());
    BOOST_TEST(sized.error() == error::closed);
  }
  while (co_await read_file(folder / "f") != content) co_await cosock::yield();
}

COROUTINE_TEST_CASE(a_pending_receive_ends_when_its_file_is_closed) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("x"));
  file_stream file = co_await open_file(folder / "f");
  const auto receive = [&]() -> task<> {
    char byte;
    const auto result = co_await as_result(file.receive(cosock::buffer(&byte, 1)));
    BOOST_TEST(result.error() == error::closed);
  };
  const auto close = [&]() -> task<> {
    file.close();
    co_return;
  };
  co_await cosock::when_all(receive(), close());
}

COROUTINE_TEST_CASE(a_file_may_be_moved_while_it_is_received_from) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("x"));
  file_stream file = co_await open_file(folder / "f");
  std::unique_ptr<file_stream> moved;
  const auto receive = [&]() -> task<> {
    char byte;
    BOOST_TEST(co_await file.receive(cosock::buffer(&byte, 1)) == 1u);
  };
  const auto move = [&]() -> task<> {
    moved = std::make_unique<file_stream>(std::move(file));
    co_return;
  };
  co_await cosock::when_all(receive(), move());
  BOOST_TEST(moved->position() == 1u);
  BOOST_TEST(!file.is_open());
  BOOST_TEST(co_await receive_all(*moved) == "");
}

BOOST_AUTO_TEST_CASE(a_loop_may_end_before_its_files) {
  const test::alarm_clock guard;
  const temporary_folder folder;
  std::unique_ptr<file_stream> kept;
  cosock::loop().run(write_file(folder / "g", std::string_view("x")));
  {
    cosock::loop on;
    auto work = on.start([](const temporary_folder& folder, auto& kept) -> task<> {
      kept = std::make_unique<file_stream>(co_await open_file(folder / "f", file_mode::write));
      co_await kept->send("sent");
      file_stream read = co_await open_file(folder / "g");
      char byte;
      co_await read.receive(cosock::buffer(&byte, 1));
      BOOST_ERROR("the loop has gone on");
    }(folder, kept));
    while (!kept || kept->position() == 0) on.run_some();
  }
  BOOST_TEST(!kept->is_open());
  BOOST_TEST(kept->position() == 4u);
  cosock::loop().run([](std::string path) -> task<> {
    while (co_await read_file(path) != "sent") co_await cosock::yield();
  }(folder / "f"));
}

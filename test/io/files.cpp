// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// read_file() and write_file().

#include <cosock/file.hpp>

#define BOOST_TEST_MODULE files
#include "local_tools.hpp"
#include "manual_event.hpp"
#include "support.hpp"

#include <cosock/cancel.hpp>
#include <cosock/loop.hpp>
#include <cosock/threads.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <string>
#include <string_view>

using cosock::as_result;
using cosock::error;
using cosock::read_file;
using cosock::task;
using cosock::write_file;
using test::contains;
using test::temporary_folder;

namespace {

std::size_t entries_of(const temporary_folder& folder) {
  const std::filesystem::directory_iterator all(folder.path());
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

unsigned permissions_of(const std::string& path) {
  struct stat status;
  test::check(::stat(path.c_str(), &status) == 0, "stat");
  return status.st_mode & 07777;
}

template <class Result>
void check_error(const Result& result, boost::system::errc::errc_t code, const std::string& path,
                 std::string_view text) {
  BOOST_REQUIRE(!result);
  BOOST_TEST(result.error() == code);
  const std::string message = cosock::error_message(result.error());
  BOOST_TEST(contains(message, path.c_str()), message);
  BOOST_TEST(contains(message, text), message);
}

}  // namespace

// read_file

COROUTINE_TEST_CASE(a_whole_file_is_read) {
  const temporary_folder folder;
  for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, 5'000'000u}) {
    const std::string content(size, 'x');
    co_await write_file(folder / "f", content, {.sync = false});
    BOOST_TEST((co_await read_file(folder / "f") == content));
    BOOST_TEST((co_await read_file(folder / "f", {.max_bytes = size}) == content));
  }
}

COROUTINE_TEST_CASE(a_file_whose_size_the_system_does_not_say_is_read) {
  BOOST_TEST(contains(co_await read_file("/proc/self/status"), "Umask:"));
  BOOST_TEST(co_await read_file("/dev/null") == "");
}

COROUTINE_TEST_CASE(a_file_that_is_too_large_is_refused) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("12345"), {.sync = false});
  check_error(co_await as_result(read_file(folder / "f", {.max_bytes = 4})),
              boost::system::errc::file_too_large, folder / "f", "more than 4 bytes");
  check_error(co_await as_result(read_file("/proc/self/status", {.max_bytes = 1})),
              boost::system::errc::file_too_large, "/proc/self/status", "more than 1 byte;");
  check_error(co_await as_result(read_file("/dev/zero", {.max_bytes = 100'000})),
              boost::system::errc::file_too_large, "/dev/zero", "more than 100000 bytes");
  BOOST_TEST(co_await read_file(folder / "f",
                                {.max_bytes = std::numeric_limits<std::size_t>::max()}) == "12345");
}

COROUTINE_TEST_CASE(a_read_that_fails_names_the_path) {
  const temporary_folder folder;
  using namespace boost::system::errc;
  check_error(co_await as_result(read_file(folder / "none")), no_such_file_or_directory,
              folder / "none", "No such file");
  check_error(co_await as_result(read_file(folder.path())), is_a_directory, folder.path(),
              "directory");
  check_error(co_await as_result(read_file(folder / std::string_view("a\0b", 3))), invalid_argument,
              folder / "a", "NUL");
  check_error(co_await as_result(read_file("")), no_such_file_or_directory, "", "No such file");
}

COROUTINE_TEST_CASE(a_pipe_is_read_to_its_end) {
  const temporary_folder folder;
  const std::string path = folder / "pipe";
  test::check(::mkfifo(path.c_str(), 0600) == 0, "mkfifo");
  const auto write = [&]() -> task<> {
    const auto blocks = [&] {
      const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);  // until the reader has it open
      for (const std::string_view part : {"in ", "two parts"})
        test::check(::write(fd, part.data(), part.size()) > 0, "write");
      ::close(fd);
    };
    co_await cosock::on_threads(blocks);
  };
  const auto [content, unit] = co_await cosock::when_all(read_file(path), write());
  BOOST_TEST(content == "in two parts");
}

COROUTINE_TEST_CASE(a_read_that_waits_for_a_pipe_can_be_cancelled) {
  const temporary_folder folder;
  const std::string path = folder / "pipe";
  test::check(::mkfifo(path.c_str(), 0600) == 0, "mkfifo");
  const auto limited =
      co_await as_result(cosock::with_timeout(std::chrono::milliseconds(1), read_file(path)));
  BOOST_TEST(limited.error() == error::timed_out);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);  // which ends the wait of the thread
  test::check(fd >= 0, "open");
  ::close(fd);
}

// write_file

COROUTINE_TEST_CASE(a_file_is_made_and_replaced) {
  const temporary_folder folder;
  for (const std::string_view content : {"first", "", "third, which is longer"}) {
    co_await write_file(folder / "f", content);
    BOOST_TEST(co_await read_file(folder / "f") == content);
    BOOST_TEST(entries_of(folder) == 1u);
  }
  const std::string large(3'000'000, 'y');
  co_await write_file(folder / "f", large);
  BOOST_TEST((co_await read_file(folder / "f") == large));
}

COROUTINE_TEST_CASE(a_path_without_a_folder_is_in_the_working_folder) {
  const temporary_folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  co_await write_file("f", std::string_view("here"));
  std::filesystem::current_path(before);
  BOOST_TEST(co_await read_file(folder / "f") == "here");
}

COROUTINE_TEST_CASE(a_name_of_the_greatest_length_is_written) {
  const temporary_folder folder;
  const std::string name(255, 'n');
  co_await write_file(folder / name, std::string_view("x"));
  BOOST_TEST(co_await read_file(folder / name) == "x");
  BOOST_TEST(entries_of(folder) == 1u);
}

COROUTINE_TEST_CASE(permissions_are_kept_or_set) {
  const temporary_folder folder;
  const ::mode_t before = ::umask(027);
  co_await write_file(folder / "f", std::string_view("x"));
  BOOST_TEST(permissions_of(folder / "f") == 0640u);
  co_await write_file(folder / "g", std::string_view("x"), {.permissions = 0777});
  BOOST_TEST(permissions_of(folder / "g") == 0750u);
  test::check(::chmod((folder / "g").c_str(), 0606) == 0, "chmod");
  co_await write_file(folder / "g", std::string_view("y"));  // as it was
  BOOST_TEST(permissions_of(folder / "g") == 0606u);
  co_await write_file(folder / "g", std::string_view("z"), {.permissions = 0600});
  BOOST_TEST(permissions_of(folder / "g") == 0600u);
  ::umask(before);
}

COROUTINE_TEST_CASE(a_link_is_replaced_and_not_followed) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("kept"));
  std::filesystem::create_symlink(folder / "f", folder / "link");
  co_await write_file(folder / "link", std::string_view("new"));
  BOOST_TEST(!std::filesystem::is_symlink(folder / "link"));
  BOOST_TEST(co_await read_file(folder / "link") == "new");
  BOOST_TEST(co_await read_file(folder / "f") == "kept");
}

COROUTINE_TEST_CASE(a_write_that_fails_leaves_the_folder_as_it_was) {
  const temporary_folder folder;
  using namespace boost::system::errc;
  std::filesystem::create_directory(folder / "d");
  check_error(co_await as_result(write_file(folder / "d", std::string_view("x"))), is_a_directory,
              folder / "d", "directory");
  check_error(co_await as_result(write_file(folder / "none/f", std::string_view("x"))),
              no_such_file_or_directory, folder / "none/f", "No such file");
  check_error(
      co_await as_result(write_file(folder / std::string_view("a\0b", 3), std::string_view("x"))),
      invalid_argument, folder / "a", "NUL");
  check_error(
      co_await as_result(write_file(folder / "f", std::string_view("x"), {.permissions = 0100000})),
      invalid_argument, folder / "f", "0100000; accepted: 0 to 07777");
  BOOST_TEST(entries_of(folder) == 1u);
}

COROUTINE_TEST_CASE(readers_see_the_old_bytes_or_the_new_ones) {
  const temporary_folder folder;
  const std::string a(200'000, 'a');
  const std::string b(300'000, 'b');
  co_await write_file(folder / "f", a, {.sync = false});
  const auto write = [&]() -> task<> {
    for (int i = 0; i != 20; ++i)
      co_await write_file(folder / "f", i % 2 != 0 ? a : b, {.sync = false});
  };
  const auto read = [&]() -> task<> {
    for (int i = 0; i != 20; ++i) {
      const std::string content = co_await read_file(folder / "f");
      BOOST_TEST((content == a || content == b));
    }
  };
  co_await cosock::when_all(write(), read(), read());
}

COROUTINE_TEST_CASE(a_cancelled_write_is_done_or_has_no_effect) {
  const temporary_folder folder;
  co_await write_file(folder / "f", std::string_view("old"));
  cosock::cancel_scope scope;
  scope.cancel();
  const auto before =
      co_await as_result(scope.run(write_file(folder / "f", std::string_view("new"))));
  BOOST_TEST(before.error() == error::cancelled);
  BOOST_TEST(co_await read_file(folder / "f") == "old");

  cosock::cancel_scope later;
  bool done = false;
  const auto write = [&]() -> task<> {
    const auto result =
        co_await as_result(later.run(write_file(folder / "f", std::string_view("new"))));
    done = result.has_value();
  };
  const auto cancel = [&]() -> task<> {
    later.cancel();
    co_return;
  };
  co_await cosock::when_all(write(), cancel());
  BOOST_TEST(co_await read_file(folder / "f") == (done ? "new" : "old"));
  BOOST_TEST(entries_of(folder) == 1u);
}

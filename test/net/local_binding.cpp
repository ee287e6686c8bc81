// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The names of local sockets, and the files that acceptors make of them.

#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local_binding
#include "local_fixture.hpp"

#include <sys/file.h>

#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace test;
using boost::system::system_error;
using cosock::local_acceptor;
using cosock::local_acceptor_options;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::loop;

}  // namespace

BOOST_AUTO_TEST_SUITE(names)

static_assert(std::is_trivially_copyable_v<local_endpoint>);

BOOST_AUTO_TEST_CASE(a_name_is_a_path_or_abstract_or_none) {
  const local_endpoint none;
  BOOST_TEST(none.is_unnamed());
  BOOST_TEST(none.name() == "");
  BOOST_TEST(none.to_string() == "(unnamed)");
  const auto path = local_endpoint::path("/run/x.socket");
  BOOST_TEST(path.is_path());
  BOOST_TEST(!path.is_abstract());
  BOOST_TEST(!path.is_unnamed());
  BOOST_TEST(path.name() == "/run/x.socket");
  BOOST_TEST(path.to_string() == "/run/x.socket");
  const auto abstract = local_endpoint::abstract(std::string_view("a\0b\n", 4));
  BOOST_TEST(abstract.is_abstract());
  BOOST_TEST(abstract.name() == std::string_view("a\0b\n", 4));
  BOOST_TEST(abstract.to_string() == "@a\\x00b\\x0a");
  std::ostringstream out;
  out << path;
  BOOST_TEST(out.str() == path.to_string());
  BOOST_TEST(local_endpoint::path("\xff\xfe").name() == "\xff\xfe");
}

BOOST_AUTO_TEST_CASE(names_are_compared_by_kind_and_bytes) {
  const local_endpoint none;
  const auto a = local_endpoint::path("a");
  const auto b = local_endpoint::path("b");
  const auto abstract = local_endpoint::abstract("a");
  BOOST_TEST(a == local_endpoint::path("a"));
  BOOST_TEST(a != b);
  BOOST_TEST(a != abstract);
  BOOST_TEST((none < a && a < b && b < abstract));
  BOOST_TEST(local_endpoint::abstract(std::string_view("a\0", 2)) != abstract);
}

BOOST_AUTO_TEST_CASE(text_with_an_at_sign_in_front_is_abstract) {
  BOOST_TEST(local_endpoint::parse("@a") == local_endpoint::abstract("a"));
  BOOST_TEST(local_endpoint::parse("/a") == local_endpoint::path("/a"));
  BOOST_TEST(local_endpoint::parse("./@a").is_path());
  BOOST_TEST(local_endpoint::path("@a").to_string() == "./@a");
  BOOST_CHECK_EXCEPTION(
      (void)local_endpoint::parse("@"), system_error,
      says(errc::invalid_argument, "the abstract name of a local socket is not empty"));
  BOOST_CHECK_EXCEPTION((void)local_endpoint::parse(""), system_error,
                        says(errc::invalid_argument, "the path of a local socket is not empty"));
}

BOOST_AUTO_TEST_CASE(a_name_no_socket_can_have_is_an_error_that_says_so) {
  const std::string just(107, 'x');
  const std::string too_long(108, 'x');
  BOOST_TEST(local_endpoint::path(just).name() == just);
  BOOST_TEST(local_endpoint::abstract(just).name() == just);
  for (const auto make : {&local_endpoint::path, &local_endpoint::abstract}) {
    BOOST_CHECK_EXCEPTION((void)make(too_long), system_error,
                          says(errc::filename_too_long, "107 bytes at most, this one has 108"));
    BOOST_CHECK_EXCEPTION((void)make(too_long), system_error,
                          says(errc::filename_too_long, '"' + too_long + '"'));
    BOOST_CHECK_EXCEPTION((void)make(""), system_error, says(errc::invalid_argument, "not empty"));
  }
  BOOST_CHECK_EXCEPTION(
      (void)local_endpoint::path(std::string_view("a\0b", 3)), system_error,
      says(errc::invalid_argument, "\"a\\x00b\": the path of a local socket has no NUL"));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(binding)

COROUTINE_TEST_CASE(a_path_of_107_bytes_is_connected_to) {
  const temporary_folder folder;
  const std::string path = folder / std::string(107 - folder.path().size() - 1, 'x');
  BOOST_TEST(path.size() == 107u);
  local_acceptor acceptor(local_endpoint::path(path));
  BOOST_TEST(acceptor.local_endpoint().name() == path);
  auto c = co_await connect_over(acceptor);
  BOOST_TEST(c.client.remote_endpoint().name() == path);
  co_await round_trip(c.client, c.server);
}

COROUTINE_TEST_CASE(a_path_is_any_bytes) {
  const temporary_folder folder;
  local_acceptor acceptor(folder.at("\xff\xfe \n'"));
  auto c = co_await connect_over(acceptor);
  co_await round_trip(c.client, c.server);
  BOOST_TEST(exists(folder / "\xff\xfe \n'"));
}

/// The system takes one byte more than it can end with a NUL.
COROUTINE_TEST_CASE(a_peer_may_have_a_path_of_108_bytes) {
  const temporary_folder folder;
  const std::string path = folder / std::string(108 - folder.path().size() - 1, 'x');
  sockaddr_un raw = {};
  raw.sun_family = AF_UNIX;
  std::memcpy(raw.sun_path, path.data(), 108);
  const raw_local listener;
  BOOST_REQUIRE(::bind(listener.fd(), reinterpret_cast<sockaddr*>(&raw), sizeof raw) == 0);
  BOOST_REQUIRE(::listen(listener.fd(), 1) == 0);
  raw_local client;
  BOOST_REQUIRE(::connect(client.fd(), reinterpret_cast<sockaddr*>(&raw), sizeof raw) == 0);
  const auto socket = local_stream_socket::adopt(client.release());
  const local_endpoint peer = socket.remote_endpoint();
  BOOST_TEST(peer.name() == path);
  BOOST_CHECK_EXCEPTION(local_acceptor{peer}, system_error, says(errc::filename_too_long, path));
  co_return;
}

COROUTINE_TEST_CASE(an_abstract_name_may_have_nul_bytes_inside) {
  const std::string unique = "cosock-test-" + std::to_string(::getpid());
  const auto name = local_endpoint::abstract(unique + std::string("\0a", 2));
  const auto other = local_endpoint::abstract(unique + std::string("\0b", 2));
  local_acceptor acceptor(name);
  BOOST_TEST(acceptor.local_endpoint() == name);
  auto c = co_await connect_over(acceptor);
  BOOST_TEST(c.client.remote_endpoint() == name);
  BOOST_TEST(c.server.local_endpoint() == name);
  BOOST_TEST(c.client.local_endpoint().is_unnamed());
  BOOST_TEST(c.server.remote_endpoint().is_unnamed());
  co_await round_trip(c.client, c.server);
  BOOST_TEST((co_await outcome_of_connect(other)).error == errc::connection_refused);
  BOOST_CHECK_EXCEPTION(local_acceptor{name}, system_error,
                        says(errc::address_in_use, '@' + unique + "\\x00a"));
  acceptor.close();
  const local_acceptor again(name);  // nothing is left of it
}

COROUTINE_TEST_CASE(without_a_name_the_system_picks_one) {
  local_acceptor acceptor{local_endpoint()};
  BOOST_TEST(acceptor.local_endpoint().is_abstract());
  auto c = co_await connect_over(acceptor);
  co_await round_trip(c.client, c.server);
}

COROUTINE_TEST_CASE(the_file_of_a_socket_that_is_no_more_is_replaced) {
  const temporary_folder folder;
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    leave_stale(folder.at("s"), type);
    {
      local_acceptor acceptor(folder.at("s"));
      auto c = co_await connect_over(acceptor);
      co_await round_trip(c.client, c.server);
    }
    leave_stale(folder.at("s"), type);
    local_acceptor<local_seqpacket_socket> acceptor(folder.at("s"));
    auto c = co_await connect_over(acceptor);
    co_await round_trip(c.client, c.server);
  }
  leave_stale(folder.at("kept"));
  const local_acceptor_options keep = {.replace_stale = false};
  BOOST_CHECK_EXCEPTION(local_acceptor(folder.at("kept"), keep), system_error,
                        says(errc::address_in_use, folder / "kept"));
  BOOST_TEST(exists(folder / "kept"));
}

/// It is asked in a way that it does not see, before it listens too.
COROUTINE_TEST_CASE(a_socket_that_is_alive_is_left_in_peace) {
  const temporary_folder folder;
  local_acceptor alive(folder.at("alive"));
  BOOST_CHECK_EXCEPTION(local_acceptor{folder.at("alive")}, system_error,
                        says(errc::address_in_use, folder / "alive"));
  BOOST_CHECK_EXCEPTION(local_acceptor<local_seqpacket_socket>{folder.at("alive")}, system_error,
                        says(errc::address_in_use, folder / "alive"));
  pending_op accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(alive); });
    co_await let_others_run();
    BOOST_TEST(!accept.done);
    n.cancel();
  });
  auto c = co_await connect_over(alive);
  co_await round_trip(c.client, c.server);
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const std::string name = "type" + std::to_string(type);
    raw_local bound(type);
    BOOST_REQUIRE(bound.bind(folder.at(name)) == 0);
    BOOST_CHECK_EXCEPTION(local_acceptor{folder.at(name)}, system_error,
                          says(errc::address_in_use, folder / name));
    BOOST_TEST(exists(folder / name));
  }
}

COROUTINE_TEST_CASE(a_file_that_is_no_socket_is_left_alone) {
  const temporary_folder folder;
  make_file(folder / "file");
  std::filesystem::create_directory(folder / "folder");
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  leave_stale(folder.at("stale"));
  std::filesystem::create_symlink("stale", folder / "link");
  for (const char* name : {"file", "folder", "dangling", "link"}) {
    BOOST_CHECK_EXCEPTION(
        local_acceptor{folder.at(name)}, system_error,
        says(errc::address_in_use, (folder / name) + ": there is a file that is no socket"));
    BOOST_TEST(exists(folder / name));
  }
  BOOST_TEST(exists(folder / "stale"));
  co_return;
}

COROUTINE_TEST_CASE(an_error_of_binding_names_the_path) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  BOOST_CHECK_EXCEPTION(local_acceptor{folder.at("none/s")}, system_error,
                        says(errc::no_such_file_or_directory, folder / "none/s"));
  make_file(folder / "file");
  BOOST_CHECK_EXCEPTION(local_acceptor{folder.at("file/s")}, system_error,
                        says(errc::not_a_directory, folder / "file/s"));
  BOOST_TEST(open_descriptors() == before);
  error_code without_descriptors;
  {
    const no_more_descriptors full;  // the sanitizers' checks of types need some
    without_descriptors = thrown_by([&] { local_acceptor{folder.at("s")}; });
  }
  BOOST_TEST(without_descriptors == errc::too_many_files_open);
  co_return;
}

/// What may not be replaced: where one may not write, and what is another user's.
BOOST_AUTO_TEST_CASE(what_is_another_users_is_left_alone,
                     *boost::unit_test::precondition(is_root)) {
  const temporary_folder folder;
  std::filesystem::create_directory(folder / "closed");
  std::filesystem::create_directory(folder / "open");
  BOOST_REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  BOOST_REQUIRE(::chmod((folder / "open").c_str(), 0777) == 0);
  leave_stale(folder.at("open/roots"));
  BOOST_REQUIRE(::chmod((folder / "open/roots").c_str(), 0777) == 0);
  child_process other([&] {
    if (!become_nobody()) return false;
    loop on;
    const auto denied = thrown_by([&] { local_acceptor{on, folder.at("closed/s")}; });
    const auto in_use = thrown_by([&] { local_acceptor{on, folder.at("open/roots")}; });
    leave_stale(folder.at("open/nobodys"));
    { const local_acceptor own(on, folder.at("open/nobodys")); }
    leave_stale(folder.at("open/nobodys"));
    return denied == errc::permission_denied && in_use == errc::address_in_use;
  });
  BOOST_TEST(other.succeeded());
  BOOST_TEST(exists(folder / "open/roots"));
  loop on;
  const local_acceptor roots(on, folder.at("open/nobodys"));  // root may
}

BOOST_AUTO_TEST_CASE(the_file_has_exactly_the_mode_it_is_told) {
  const temporary_folder folder;
  loop on;
  const auto mode_of = [&](const local_acceptor<>&) {
    struct stat there = {};
    ::lstat((folder / "s").c_str(), &there);
    return there.st_mode & 07777;
  };
  const mode_t before = ::umask(0);
  for (const mode_t mask : {0, 022, 077, 0777}) {
    ::umask(mask);
    BOOST_TEST(mode_of(local_acceptor(on, folder.at("s"))) == 0600u);
    for (const int mode : {0, 0600, 0660, 0666, 0777, 01777}) {
      const local_acceptor_options options = {.mode = mode};
      BOOST_TEST(mode_of(local_acceptor(on, folder.at("s"), options)) == static_cast<mode_t>(mode));
    }
  }
  ::umask(before);
}

BOOST_AUTO_TEST_CASE(an_acceptor_removes_its_file_at_its_end) {
  const temporary_folder folder;
  const auto at = folder.at("s");
  auto on = std::make_unique<loop>();
  {
    const local_acceptor acceptor(*on, at);
    BOOST_TEST(exists(folder / "s"));
  }
  BOOST_TEST(!exists(folder / "s"));
  local_acceptor acceptor(*on, at);
  local_acceptor moved = std::move(acceptor);
  acceptor.close();
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(exists(folder / "s"));
  moved.close();
  moved.close();
  BOOST_TEST(!exists(folder / "s"));
  acceptor = local_acceptor(*on, at);
  BOOST_TEST(acceptor.local_endpoint() == at);
  acceptor = local_acceptor(*on, folder.at("other"));
  BOOST_TEST(!exists(folder / "s"));
  BOOST_TEST(exists(folder / "other"));
  on.reset();
  BOOST_TEST(!exists(folder / "other"));
  BOOST_TEST(!acceptor.is_open());
}

BOOST_AUTO_TEST_CASE(what_has_taken_the_place_of_its_file_is_left_alone) {
  const temporary_folder folder;
  loop on;
  {
    const local_acceptor acceptor(on, folder.at("file"));
    std::filesystem::remove(folder / "file");
    make_file(folder / "file");
  }
  BOOST_TEST(exists(folder / "file"));
  {
    const local_acceptor acceptor(on, folder.at("socket"));
    std::filesystem::remove(folder / "socket");
    leave_stale(folder.at("socket"));
  }
  BOOST_TEST(exists(folder / "socket"));
  const local_acceptor acceptor(on, folder.at("gone"));
  std::filesystem::remove(folder / "gone");
}

/// However many start at once, one of them has the socket, and its file stays.
BOOST_AUTO_TEST_CASE(of_many_that_replace_a_stale_file_at_once_one_wins) {
  const temporary_folder folder;
  constexpr int many = 4;
  for (int round = 0; round != 25; ++round) {
    leave_stale(folder.at("s"));
    pipe_ends go;
    pipe_ends won;
    pipe_ends end;
    std::vector<std::unique_ptr<child_process>> all;
    for (int i = 0; i != many; ++i)
      all.push_back(std::make_unique<child_process>([&] {
        char byte = 0;
        ::close(go.ends[1]);
        ::close(end.ends[1]);
        (void)!::read(go.ends[0], &byte, 1);
        loop on;
        bool mine = false;
        const auto error = thrown_by([&] {
          const local_acceptor acceptor(on, folder.at("s"));
          mine = true;
          (void)!::write(won.ends[1], "w", 1);
          (void)!::read(end.ends[0], &byte, 1);  // nobody closes before all have tried
        });
        if (!mine) (void)!::write(won.ends[1], "l", 1);
        return mine || error == errc::address_in_use;
      }));
    go.close_writing();
    int winners = 0;
    for (int i = 0; i != many; ++i) {
      char said = 0;
      BOOST_REQUIRE(::read(won.ends[0], &said, 1) == 1);
      winners += said == 'w';
    }
    BOOST_TEST(winners == 1);
    raw_local client;
    BOOST_TEST(client.connect(folder.at("s")) == 0);
    end.close_writing();
    for (auto& each : all) BOOST_TEST(each->succeeded());
    BOOST_TEST(!exists(folder / "s"));
  }
}

/// The lock on the folder is help, not a condition: anybody could hold it.
BOOST_AUTO_TEST_CASE(a_folder_that_somebody_has_locked_holds_nobody_up) {
  const temporary_folder folder;
  const int lock = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  BOOST_REQUIRE(::flock(lock, LOCK_EX) == 0);
  leave_stale(folder.at("s"));
  loop on;
  const local_acceptor acceptor(on, folder.at("s"));
  BOOST_TEST(acceptor.is_open());
  ::close(lock);
}

BOOST_AUTO_TEST_SUITE_END()

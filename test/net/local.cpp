// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/local.hpp>

#define BOOST_TEST_MODULE local
#include "local_operations.hpp"

#include <cosock/when.hpp>

#include <sys/file.h>

#include <array>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

using namespace test;
using cosock::cancel_scope;
using cosock::local_acceptor;
using cosock::local_acceptor_options;
using cosock::local_pair;
using cosock::local_seqpacket_acceptor;
using cosock::local_seqpacket_socket;
using cosock::local_stream_socket;
using cosock::loop;
using boost::system::system_error;

/// For BOOST_CHECK_EXCEPTION: the condition, and what the text has to contain.
auto says(errc::errc_t condition, std::string text) {
  return [=](const system_error& e) {
    BOOST_TEST_MESSAGE(e.what());
    return e.code() == condition && std::string_view(e.what()).find(text) != std::string_view::npos;
  };
}

template <class Acceptor>
task<outcome> outcome_of_accept(Acceptor& from) {
  const auto result = co_await cosock::as_result(from.accept());
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

template <class Socket = local_stream_socket>
task<outcome> outcome_of_connect(local_endpoint to) {
  const auto result = co_await cosock::as_result(cosock::connect<Socket>(to));
  outcome o;
  if (result.has_error()) o.error = result.error();
  co_return o;
}

/// A connection over a name.
template <class Socket>
struct connection {
  connection(Socket c, Socket s) : client(std::move(c)), server(std::move(s)) {}
  Socket client;
  Socket server;
};
template <class Socket>
task<connection<Socket>> connect_over(cosock::basic_local_acceptor<Socket>& acceptor) {
  auto [client, server] = co_await cosock::when_all(
      cosock::connect<Socket>(acceptor.local_endpoint()), acceptor.accept());
  co_return connection<Socket>(std::move(client), std::move(server));
}

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
  BOOST_CHECK_EXCEPTION((void)local_endpoint::parse("@"), system_error,
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
  BOOST_CHECK_EXCEPTION((void)local_endpoint::path(std::string_view("a\0b", 3)), system_error,
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
    local_seqpacket_acceptor acceptor(folder.at("s"));
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
  BOOST_CHECK_EXCEPTION(local_seqpacket_acceptor{folder.at("alive")}, system_error,
                        says(errc::address_in_use, folder / "alive"));
  beside accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(alive); });
    co_await settle();
    BOOST_TEST(!accept.done);
    n.cancel_all();
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
    BOOST_CHECK_EXCEPTION(local_acceptor{folder.at(name)}, system_error,
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
BOOST_AUTO_TEST_CASE(what_is_another_users_is_left_alone, *boost::unit_test::precondition(is_root)) {
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
  const auto mode_of = [&](const local_acceptor&) {
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

BOOST_AUTO_TEST_SUITE(connecting)

COROUTINE_TEST_CASE(a_connection_that_cannot_be_made_names_the_endpoint) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  leave_stale(folder.at("stale"));
  make_file(folder / "file");
  const local_acceptor acceptor(folder.at("stream"));
  const auto refuses = [&](local_endpoint to, errc::errc_t condition) -> task<> {
    BOOST_CHECK_EXCEPTION((void)co_await cosock::connect(to), system_error,
                          says(condition, to.to_string()));
  };
  co_await refuses(folder.at("none"), errc::no_such_file_or_directory);
  co_await refuses(folder.at("stale"), errc::connection_refused);
  co_await refuses(folder.at("file"), errc::connection_refused);
  co_await refuses(local_endpoint::abstract("cosock-test-none"), errc::connection_refused);
  co_await refuses(local_endpoint(), errc::invalid_argument);
  BOOST_CHECK_EXCEPTION(
      (void)co_await cosock::connect<local_seqpacket_socket>(folder.at("stream")), system_error,
      says(errc::wrong_protocol_type, folder / "stream"));
  BOOST_TEST(open_descriptors() == before + 1);
  outcome without_descriptors;
  {
    const no_more_descriptors full;
    without_descriptors = co_await outcome_of_connect(folder.at("stream"));
  }
  BOOST_TEST(without_descriptors.error == errc::too_many_files_open);
}

namespace {

/// A listener whose backlog is full.
struct full_listener {
  explicit full_listener(const local_endpoint& at) : acceptor(at, options()) {
    BOOST_REQUIRE(fills_it.connect(at) == 0);
  }
  static local_acceptor_options options() {
    local_acceptor_options o;
    o.backlog = 0;
    return o;
  }
  local_acceptor acceptor;
  raw_local fills_it;
};

}  // namespace

COROUTINE_TEST_CASE(a_connect_waits_for_room_in_the_backlog) {
  const temporary_folder folder;
  full_listener full(folder.at("s"));
  beside connecting;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, connecting, [&] { return outcome_of_connect(folder.at("s")); });
    co_await cosock::sleep_for(4ms);  // it has tried again by then
    BOOST_TEST(!connecting.done);
    (void)co_await full.acceptor.accept();
    co_await ended(connecting);
  });
  BOOST_TEST(!connecting.result.error);
  // One that waits learns that there is nothing to wait for any more.
  beside in_vain;  // what has connected fills the backlog
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, in_vain, [&] { return outcome_of_connect(folder.at("s")); });
    co_await settle();
    BOOST_TEST(!in_vain.done);
    full.acceptor.close();
  });
  BOOST_TEST((in_vain.result.error == errc::connection_refused ||
              in_vain.result.error == errc::no_such_file_or_directory));
}

COROUTINE_TEST_CASE(a_connect_that_waits_is_cancelled_and_closes_its_descriptor) {
  const temporary_folder folder;
  const full_listener full(folder.at("s"));
  const std::size_t before = open_descriptors();
  for (const bool by_limit : {false, true}) {
    cancel_scope scope;
    beside connecting;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, connecting, [&] { return scope.run(cosock::connect(folder.at("s"))); });
      co_await settle();
      BOOST_TEST(!connecting.done);
      BOOST_TEST(open_descriptors() == before + 1);
      if (by_limit)
        scope.set_deadline(std::chrono::steady_clock::now() + 2ms);
      else
        scope.cancel();
    });
    BOOST_TEST(
        connecting.result.is(by_limit ? cosock::error::timed_out : cosock::error::cancelled));
    BOOST_TEST(open_descriptors() == before);
  }
  cancel_scope cancelled;
  cancelled.cancel();
  BOOST_TEST((co_await outcome_of(cancelled.run(cosock::connect(folder.at("s")))))
                 .is(cosock::error::cancelled));
}

COROUTINE_TEST_CASE(a_connect_cancelled_before_it_starts_asks_nobody) {
  local_acceptor acceptor{local_endpoint()};
  cancel_scope scope;
  scope.cancel();
  const outcome o = co_await scope.run(outcome_of_connect(acceptor.local_endpoint()));
  BOOST_TEST(o.is(cosock::error::cancelled));
  beside accept;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return outcome_of_accept(acceptor); });
    co_await settle();
    BOOST_TEST(!accept.done);
    n.cancel_all();
  });
}

/// Room and cancellation come at the same time, in every order.
COROUTINE_TEST_CASE(a_connect_cancelled_in_the_turn_in_which_it_completes_leaks_nothing) {
  const temporary_folder folder;
  const std::size_t before = open_descriptors();
  int connected = 0;
  int cancelled = 0;
  for (int round = 0; round != 40; ++round) {
    {
      full_listener full(folder.at("s"));
      cancel_scope scope;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        n.start([&]() -> task<> {
          const auto result =
              co_await cosock::as_result(scope.run(cosock::connect(folder.at("s"))));
          if (result.has_value()) {
            BOOST_TEST(result->is_open());
            ++connected;
          } else {
            BOOST_REQUIRE(result.error() == code(cosock::error::cancelled));
            ++cancelled;
          }
        });
        co_await cosock::yield();
        (void)co_await full.acceptor.accept();
        co_await cosock::sleep_for(std::chrono::microseconds(800 + 10 * round));
        scope.cancel();
      });
    }
    BOOST_REQUIRE(open_descriptors() == before);
  }
  BOOST_TEST(connected + cancelled == 40);
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_connect_that_waits) {
  const temporary_folder folder;
  loop other;
  auto task_of_listener = [](const local_endpoint& at) -> task<std::unique_ptr<full_listener>> {
    co_return std::make_unique<full_listener>(at);
  };
  const auto full = other.run(task_of_listener(folder.at("s")));
  auto on = std::make_unique<loop>();
  const std::size_t before = open_descriptors();
  for (const bool task_first : {false, true}) {
    end_loop_under(std::make_unique<loop>(), task_first,
                   [&] { return outcome_of_connect(folder.at("s")); });
    BOOST_TEST(open_descriptors() == before);
  }
}

/// Each of them completes at once.
COROUTINE_TEST_CASE(many_connects_in_a_row_let_others_have_their_turn) {
  bool over = false;
  int turns = 0;
  const auto connect = [&]() -> task<> {
    for (int i = 0; i != 2000; ++i)
      (void)co_await outcome_of_connect(local_endpoint::abstract("cosock-test-none"));
    over = true;
  };
  const auto turn = [&]() -> task<> {
    while (!over) {
      co_await cosock::yield();
      ++turns;
    }
  };
  co_await cosock::when_all(turn(), connect());
  BOOST_TEST(turns > 5);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(accepting)

COROUTINE_TEST_CASE(both_types_of_acceptor_accept) {
  const temporary_folder folder;
  local_acceptor streams(folder.at("stream"));
  auto a = co_await connect_over(streams);
  co_await round_trip(a.client, a.server);
  BOOST_TEST(a.server.local_endpoint() == folder.at("stream"));
  local_seqpacket_acceptor messages(folder.at("messages"));
  auto b = co_await connect_over(messages);
  co_await round_trip(b.client, b.server);
  for (const int fd : {streams.native_handle(), messages.native_handle(), a.client.native_handle(),
                       a.server.native_handle(), b.client.native_handle(), b.server.native_handle()})
    BOOST_TEST(is_close_on_exec(fd));
}

COROUTINE_TEST_CASE(an_accept_ends_with_its_acceptor) {
  for (const char how : {'c', 'd', 'm'}) {
    BOOST_TEST_INFO_SCOPE(how);
    auto acceptor = std::make_unique<local_acceptor>(local_endpoint());
    beside accept;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, accept, [&] { return acceptor->accept(); });
      co_await settle();
      BOOST_TEST(!accept.done);
      BOOST_TEST((co_await outcome_of(acceptor->accept())).is(cosock::error::busy));
      BOOST_TEST(!accept.done);
      if (how == 'c') acceptor->close();
      if (how == 'd') acceptor.reset();
      if (how == 'm') *acceptor = local_acceptor();
    });
    BOOST_TEST(accept.result.is(cosock::error::closed));
    if (acceptor) BOOST_TEST((co_await outcome_of(acceptor->accept())).is(cosock::error::closed));
  }
  local_acceptor none;
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST((co_await outcome_of_accept(none)).is(cosock::error::closed));
  BOOST_TEST(thrown_by([&] { (void)none.local_endpoint(); }) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_released_acceptor_keeps_its_file_and_can_be_adopted) {
  const temporary_folder folder;
  local_acceptor acceptor(folder.at("socket"));
  const int fd = acceptor.release();
  BOOST_TEST(!acceptor.is_open());
  BOOST_TEST(acceptor.release() == -1);
  BOOST_TEST(thrown_by([&] { acceptor.set_backlog(1); }) == code(cosock::error::closed));
  {
    local_acceptor back = local_acceptor::adopt(fd);
    back.set_backlog(5);
    BOOST_TEST(back.local_endpoint() == folder.at("socket"));
    auto c = co_await connect_over(back);
    co_await round_trip(c.client, c.server);
  }
  BOOST_TEST(exists(folder / "socket"));
}

COROUTINE_TEST_CASE(what_does_not_listen_is_not_adopted_as_an_acceptor) {
  const int stream = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  BOOST_TEST(thrown_by([&] { (void)local_acceptor::adopt(stream); }) == system_code(EINVAL));
  BOOST_TEST(::fcntl(stream, F_GETFD) == -1);
  local_seqpacket_acceptor messages((local_endpoint()));
  const int fd = messages.release();
  BOOST_TEST(thrown_by([&] { (void)local_acceptor::adopt(fd); }) == system_code(EPROTOTYPE));
  co_return;
}

COROUTINE_TEST_CASE(an_accept_goes_on_when_its_acceptor_moves) {
  auto acceptor = std::make_unique<local_acceptor>(local_endpoint());
  const local_endpoint at = acceptor->local_endpoint();
  beside accept;
  local_acceptor moved;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, accept, [&] { return acceptor->accept(); });
    co_await settle();
    moved = std::move(*acceptor);
    acceptor.reset();
    raw_local client;
    BOOST_REQUIRE(client.connect(at) == 0);
    co_await ended(accept);
  });
  BOOST_TEST(!accept.result.error);
}

COROUTINE_TEST_CASE(a_cancelled_accept_loses_no_connection) {
  local_acceptor acceptor{local_endpoint()};
  const std::size_t before = open_descriptors();
  auto [told, teller] = local_pair();
  int made = 0;
  int accepted = 0;
  int cancelled = 0;
  for (int round = 0; round != 600; ++round) {
    cancel_scope scope;
    const auto connect = [&] {
      raw_local client;
      BOOST_REQUIRE(client.connect(acceptor.local_endpoint()) == 0);
      ++made;
    };
    const auto cancel_when_told = [&]() -> task<> {
      char byte[1];
      co_await told.receive(byte);
      scope.cancel();
    };
    if (round % 6 == 5) scope.cancel();
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const outcome o = co_await outcome_of(scope.run(acceptor.accept()));
        if (o.error) BOOST_REQUIRE(o.is(cosock::error::cancelled));
        ++(o.error ? cancelled : accepted);
      });
      co_await cosock::yield();
      switch (round % 6) {
        case 0:
          connect();
          scope.cancel();
          break;
        case 1:
          scope.cancel();
          connect();
          break;
        case 2:
          n.start(cancel_when_told);
          co_await settle();
          co_await teller.send("!");
          connect();
          break;
        case 3:
          n.start(cancel_when_told);
          co_await settle();
          connect();
          co_await teller.send("!");
          break;
        case 4:
          scope.set_deadline(std::chrono::steady_clock::now() + std::chrono::microseconds(round % 90));
          connect();
          break;
        case 5: connect(); break;
      }
    });
  }
  BOOST_TEST(cancelled != 0);
  BOOST_TEST(accepted != 0);
  for (; accepted < made; ++accepted) (void)co_await acceptor.accept();
  beside none_left;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, none_left, [&] { return acceptor.accept(); });
    co_await settle();
    BOOST_TEST(!none_left.done);
    n.cancel_all();
  });
  BOOST_TEST(open_descriptors() == before + 2);
}

COROUTINE_TEST_CASE(accepting_goes_on_after_the_process_had_too_many_files_open) {
  local_acceptor acceptor{local_endpoint()};
  std::vector<raw_local> clients;
  beside waiting;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, waiting, [&] { return acceptor.accept(); });
    co_await settle();
    for (int i = 0; i != 3; ++i)
      BOOST_REQUIRE(clients.emplace_back().connect(acceptor.local_endpoint()) == 0);
    outcome refused[3];
    {
      const no_more_descriptors full;
      co_await ended(waiting);
      for (outcome& o : refused) o = co_await outcome_of_accept(acceptor);
    }
    for (const outcome& o : refused) BOOST_TEST(o.error == errc::too_many_files_open);
  });
  BOOST_TEST(waiting.result.error == errc::too_many_files_open);
  for (int i = 0; i != 3; ++i) (void)co_await acceptor.accept();
}

COROUTINE_TEST_CASE(a_connection_that_has_gone_is_accepted_and_at_its_end) {
  local_acceptor acceptor{local_endpoint()};
  for (const bool with_data : {false, true}) {
    {
      raw_local gone;
      BOOST_REQUIRE(gone.connect(acceptor.local_endpoint()) == 0);
      if (with_data) BOOST_REQUIRE(gone.send("last"));
    }
    local_stream_socket s = co_await acceptor.accept();
    char into[8];
    if (with_data) BOOST_TEST(co_await s.receive(into) == 4u);
    BOOST_TEST(co_await s.receive(into) == 0u);
    BOOST_TEST(is_broken((co_await outcome_of(s.send("x"))).error));
  }
}

BOOST_AUTO_TEST_CASE(a_loop_ends_under_a_pending_accept) {
  for (const bool task_first : {false, true}) {
    const temporary_folder folder;
    auto on = std::make_unique<loop>();
    local_acceptor acceptor(*on, folder.at("s"));
    end_loop_under(std::move(on), task_first, [&] { return outcome_of_accept(acceptor); });
    BOOST_TEST(!acceptor.is_open());
    BOOST_TEST(!exists(folder / "s"));
    loop other;
    BOOST_TEST(other.run(outcome_of_accept(acceptor)).is(cosock::error::closed));
  }
}

BOOST_AUTO_TEST_CASE(an_acceptor_of_another_loop_is_refused) {
  loop one;
  loop two;
  local_acceptor acceptor(one, local_endpoint());
  BOOST_TEST(two.run(outcome_of_accept(acceptor)).is(cosock::error::other_loop));
  const std::size_t before = open_descriptors();
  BOOST_CHECK_THROW(local_acceptor{local_endpoint()}, std::logic_error);
  BOOST_CHECK_THROW((void)local_pair(), std::logic_error);
  BOOST_CHECK_THROW((void)local_stream_socket::adopt(::dup(0)), std::logic_error);
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(sockets)

COROUTINE_TEST_CASE(a_socket_made_by_default_is_closed) {
  local_seqpacket_socket none;
  ledger l;
  char into[8];
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  BOOST_TEST(none.release() == -1);
  none.close();
  for (const operation which : all_operations) {
    const outcome o = co_await perform(which, none, into, l, 8);
    BOOST_TEST(o.is(cosock::error::closed));
  }
  for (const auto& call : std::initializer_list<std::function<void()>>{
           [&] { (void)none.local_endpoint(); }, [&] { (void)none.remote_endpoint(); },
           [&] { (void)none.peer_credentials(); }, [&] { none.shutdown_send(); },
           [&] { none.set_send_buffer(1); }, [&] { (void)none.send_buffer(); },
           [&] { none.set_receive_buffer(1); }, [&] { (void)none.receive_buffer(); }})
    BOOST_TEST(thrown_by(call) == code(cosock::error::closed));
}

COROUTINE_TEST_CASE(a_moved_socket_leaves_a_closed_one) {
  auto [a, b] = local_pair();
  local_stream_socket moved = std::move(a);
  BOOST_TEST(!a.is_open());
  co_await round_trip(moved, b);
  a = std::move(moved);
  co_await round_trip(a, b);
  local_stream_socket& itself = a;
  a = std::move(itself);
  co_await round_trip(a, b);
  auto [c, d] = local_pair();
  a = std::move(c);
  char into[8];
  BOOST_TEST(co_await b.receive(into) == 0u);
  co_await round_trip(a, d);
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await settle();
    c = std::move(a);
    co_await d.send("data");
  });
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(buffers_are_what_they_are_set_to) {
  auto [a, b] = local_pair();
  a.set_send_buffer(10'000);
  a.set_receive_buffer(20'000);
  BOOST_TEST(a.send_buffer() == 20'000);
  BOOST_TEST(a.receive_buffer() == 40'000);
  co_return;
}

COROUTINE_TEST_CASE(an_adopted_descriptor_is_non_blocking_and_close_on_exec) {
  auto [raw, peer] = raw_local::pair(SOCK_STREAM);
  ::fcntl(raw.fd(), F_SETFD, 0);
  const int fd = raw.fd();
  BOOST_REQUIRE(peer.send("early"));
  local_stream_socket adopted = local_stream_socket::adopt(raw.release());
  BOOST_TEST(adopted.native_handle() == fd);
  BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  BOOST_TEST(is_close_on_exec(fd));
  char into[8];
  BOOST_TEST(co_await adopted.receive(into) == 5u);
  adopted.close();
  BOOST_TEST(!is_open_descriptor(fd));
}

COROUTINE_TEST_CASE(what_is_no_local_socket_of_the_type_is_refused_and_closed) {
  const auto adopt_stream = [](int fd) { (void)local_stream_socket::adopt(fd); };
  const auto adopt_messages = [](int fd) { (void)local_seqpacket_socket::adopt(fd); };
  const auto refused = [](auto adopt, int fd) {
    const error_code e = thrown_by([&] { adopt(fd); });
    BOOST_TEST(!is_open_descriptor(fd));
    return e;
  };
  BOOST_TEST(thrown_by([&] { adopt_stream(-1); }) == system_code(EBADF));
  BOOST_TEST(refused(adopt_stream, ::dup(0)) == system_code(ENOTSOCK));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_INET, SOCK_STREAM, 0)) == system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_UNIX, SOCK_DGRAM, 0)) == system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_stream, ::socket(AF_UNIX, SOCK_SEQPACKET, 0)) == system_code(EPROTOTYPE));
  BOOST_TEST(refused(adopt_messages, ::socket(AF_UNIX, SOCK_STREAM, 0)) == system_code(EPROTOTYPE));
  co_return;
}

COROUTINE_TEST_CASE(a_released_descriptor_stays_open_and_is_the_callers) {
  auto [a, b] = local_pair<local_seqpacket_socket>();
  char into[8];
  beside read;
  int fd = -1;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return a.receive(into); });
    co_await settle();
    fd = a.release();
  });
  BOOST_TEST(read.result.is(cosock::error::closed));
  BOOST_TEST(!a.is_open());
  BOOST_TEST(::send(fd, "raw", 3, 0) == 3);
  BOOST_TEST(co_await b.receive(into) == 3u);
  co_await b.send("again");
  auto back = local_seqpacket_socket::adopt(fd);
  BOOST_TEST(co_await back.receive(into) == 5u);
  co_await round_trip(back, b);
}

/// The system tells once that a peer closed with something unread, and calls it the end from then on.
COROUTINE_TEST_CASE(a_connection_that_was_reset_stays_so) {
  const auto check = [](auto pair, const operation which) -> task<> {
    auto& [a, b] = pair;
    ledger l;
    char into[8];
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return perform(which, a, into, l, 0); });
      co_await settle();
      co_await a.send("unread");
      b.close();
    });
    if (which != operation::wait_readable) BOOST_TEST(read.result.error == reset_by_peer());
    for (int i = 0; i != 2; ++i) {
      const outcome received = co_await outcome_of(a.receive(into));
      BOOST_TEST(received.error == reset_by_peer());
      const outcome with_descriptors = co_await outcome_of(a.receive_with_descriptors(into, 1));
      BOOST_TEST(with_descriptors.error == reset_by_peer());
    }
    const outcome sent = co_await outcome_of(a.send("x"));
    BOOST_TEST(is_broken(sent.error));
  };
  for (const operation which : receiving) {
    BOOST_TEST_INFO_SCOPE(which);
    co_await check(local_pair(), which);
    co_await check(local_pair<local_seqpacket_socket>(), which);
  }
}

/// Urgent data is left out, and is no end of the stream.
COROUTINE_TEST_CASE(urgent_data_holds_nothing_up) {
  auto [raw, peer] = raw_local::pair(SOCK_STREAM);
  local_stream_socket s = local_stream_socket::adopt(raw.release());
  if (!peer.send("!", MSG_OOB)) co_return;  // a kernel that has none
  char into[8];
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return s.receive(into); });
    co_await settle();
    BOOST_TEST(!read.done);
    BOOST_REQUIRE(peer.send("data"));
  });
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(both_ends_know_who_the_other_is) {
  local_acceptor acceptor{local_endpoint()};
  auto c = co_await connect_over(acceptor);
  cosock::credentials self;
  self.pid = ::getpid();
  self.uid = ::geteuid();
  self.gid = ::getegid();
  BOOST_TEST((c.server.peer_credentials() == self));
  BOOST_TEST((c.client.peer_credentials() == self));
  auto [a, b] = local_pair<local_seqpacket_socket>();
  BOOST_TEST((a.peer_credentials() == self));
}

BOOST_AUTO_TEST_CASE(the_credentials_of_another_user_are_the_kernels_word,
                     *boost::unit_test::precondition(is_root)) {
  loop on;
  local_acceptor acceptor(on, local_endpoint());
  const local_endpoint at = acceptor.local_endpoint();
  child_process other([&] {
    raw_local client;
    char byte = 0;
    if (!become_nobody() || client.connect(at) != 0) return false;
    ucred server = {};
    socklen_t size = sizeof server;
    ::getsockopt(client.fd(), SOL_SOCKET, SO_PEERCRED, &server, &size);
    return ::recv(client.fd(), &byte, 1, 0) == 1 && server.uid == 0;
  });
  on.run([](local_acceptor& acceptor, int child) -> task<> {
    local_stream_socket s = co_await acceptor.accept();
    const cosock::credentials peer = s.peer_credentials();
    BOOST_TEST(peer.pid == child);
    BOOST_TEST(peer.uid == nobody);
    BOOST_TEST(peer.gid == nobody);
    co_await s.send("x");
  }(acceptor, other.id()));
  BOOST_TEST(other.succeeded());
}

/// Who may not write to the file may not connect.
BOOST_AUTO_TEST_CASE(the_mode_decides_who_may_connect, *boost::unit_test::precondition(is_root)) {
  const temporary_folder folder;
  BOOST_REQUIRE(::chmod(folder.path().c_str(), 0755) == 0);
  loop on;
  const local_acceptor own(on, folder.at("own"));
  const local_acceptor_options for_all = {.mode = 0666};
  const local_acceptor open(on, folder.at("open"), for_all);
  child_process other([&] {
    if (!become_nobody()) return false;
    raw_local client;
    return client.connect(folder.at("own")) != 0 && errno == EACCES &&
           client.connect(folder.at("open")) == 0;
  });
  BOOST_TEST(other.succeeded());
}

COROUTINE_TEST_CASE(a_thousand_connections_leak_no_descriptor) {
  local_acceptor acceptor{local_endpoint()};
  const std::size_t before = open_descriptors();
  for (int i = 0; i != 1000; ++i) {
    auto c = co_await connect_over(acceptor);
    if (i % 3 == 0) co_await round_trip(c.client, c.server);
    if (i % 3 == 1) c.server.close();
  }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(messages)

namespace {

using pair = std::pair<local_seqpacket_socket, local_seqpacket_socket>;
pair message_pair() { return local_pair<local_seqpacket_socket>(); }

}  // namespace

COROUTINE_TEST_CASE(each_receive_gives_one_message) {
  auto [a, b] = message_pair();
  char into[16];
  co_await a.send("one");
  BOOST_TEST(co_await a.send_some("three") == 5u);
  const std::array<std::string_view, 3> parts = {"se", "", "ven"};
  BOOST_TEST(co_await a.send(parts) == 5u);
  BOOST_TEST(co_await b.receive(into) == 3u);
  BOOST_TEST(co_await b.receive(into) == 5u);
  char first[3];
  const std::array<mutable_buffer, 2> scattered = {mutable_buffer(first), mutable_buffer(into)};
  BOOST_TEST(co_await b.receive(scattered) == 5u);
  BOOST_TEST(std::string_view(first, 3) == "sev");
  BOOST_TEST(std::string_view(into, 2) == "en");
}

COROUTINE_TEST_CASE(a_message_that_does_not_fit_is_an_error_with_the_part_that_did) {
  auto [a, b] = message_pair();
  char into[8] = {};
  const auto check = [&](auto op, std::size_t there) -> task<> {
    const outcome o = co_await outcome_of(std::move(op));
    BOOST_TEST(o.is(cosock::error::message_truncated));
    BOOST_TEST(o.error == errc::message_size);
    BOOST_TEST(o.bytes == there);
  };
  for (const std::size_t room : {1, 3, 4}) {
    co_await a.send("12345");
    co_await a.send("next");
    co_await check(b.receive(cosock::buffer(into, room)), room);
    BOOST_TEST(std::string_view(into, room) == std::string_view("12345", room));
    BOOST_TEST(co_await b.receive(into) == 4u);  // only that one was cut
  }
  co_await a.send("12345");
  BOOST_TEST(co_await b.receive(cosock::buffer(into, 5)) == 5u);
  const std::array<mutable_buffer, 2> four = {mutable_buffer(into, 1), mutable_buffer(into + 1, 3)};
  co_await a.send("12345");
  co_await check(b.receive(four), 4);
  // Several messages fill a buffer, and one that goes beyond its end is cut.
  co_await a.send("123");
  co_await a.send("45678");
  BOOST_TEST(co_await b.receive_exactly(into) == 8u);
  BOOST_TEST(std::string_view(into, 8) == "12345678");
  co_await a.send("123");
  co_await a.send("456789");
  co_await check(b.receive_exactly(into), 8);
  co_await round_trip(a, b);
  // It waits when the message comes.
  beside read;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    start(n, read, [&] { return b.receive(cosock::buffer(into, 4)); });
    co_await settle();
    co_await a.send("12345");
  });
  BOOST_TEST(read.result.is(cosock::error::message_truncated));
  BOOST_TEST(read.result.bytes == 4u);
}

COROUTINE_TEST_CASE(receive_message_tells_the_size_a_message_had) {
  auto [a, b] = message_pair();
  char into[8];
  for (const std::size_t room : {0, 1, 4, 5, 8}) {
    BOOST_TEST_INFO_SCOPE("room for " << room);
    co_await a.send("12345");
    const cosock::received r = co_await b.receive_message(cosock::buffer(into, room));
    BOOST_TEST(r.size == std::min<std::size_t>(room, 5));
    BOOST_TEST(r.length == 5u);
    BOOST_TEST(r.truncated == (room < 5));
    BOOST_TEST(!r.end);
    BOOST_TEST(std::string_view(into, r.size) == std::string_view("12345", r.size));
  }
}

/// The empty message and the end look the same to recv(2).
COROUTINE_TEST_CASE(an_empty_message_is_not_the_end) {
  for (const bool pending : {false, true}) {
    auto [raw, peer] = raw_local::pair(SOCK_SEQPACKET);
    BOOST_REQUIRE(peer.send(""));  // before the socket is ours, too
    local_seqpacket_socket b = local_seqpacket_socket::adopt(raw.release());
    char into[8];
    beside read;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      start(n, read, [&] { return b.receive(into); });
      if (pending) co_await settle();
      for (int i = 0; i != 100; ++i) BOOST_REQUIRE(peer.send(""));
      co_await settle();
      BOOST_TEST(!read.done);
      BOOST_REQUIRE(peer.send("data"));
    });
    BOOST_TEST(read.result.bytes == 4u);
    BOOST_REQUIRE(peer.send(""));
    BOOST_REQUIRE(peer.send("12345678"));
    BOOST_TEST(co_await b.receive_exactly(into) == 8u);
    BOOST_REQUIRE(peer.send(""));
    const cosock::received empty = co_await b.receive_message(into);
    BOOST_TEST(empty.size == 0u);
    BOOST_TEST(!empty.end);
    BOOST_REQUIRE(peer.send(""));
    peer.close();
    const cosock::received last = co_await b.receive_message(mutable_buffer());
    BOOST_TEST(!last.end);
    BOOST_TEST(!last.truncated);
    for (int i = 0; i != 2; ++i) {
      const cosock::received end = co_await b.receive_message(into);
      BOOST_TEST(end.end);
      BOOST_TEST(end.length == 0u);
      BOOST_TEST(co_await b.receive(into) == 0u);
    }
  }
}

/// A peer that sends nothing but empty messages keeps no other task from running.
COROUTINE_TEST_CASE(empty_messages_without_end_let_others_have_their_turn) {
  auto [a, b] = message_pair();
  char into[8];
  int turns = 0;
  co_await cosock::with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> { co_await b.receive(into); });
    n.start([&]() -> task<> {
      for (;;) (void)co_await a.send_message(const_buffer());
    });
    for (; turns != 100; ++turns) co_await cosock::yield();
    n.cancel_all();
  });
  BOOST_TEST(turns == 100);
}

COROUTINE_TEST_CASE(send_message_sends_empty_ones_too) {
  auto [a, b] = message_pair();
  char into[8];
  BOOST_TEST(co_await a.send_message(const_buffer()) == 0u);
  BOOST_TEST(co_await a.send_message("data") == 4u);
  const cosock::received empty = co_await b.receive_message(into);
  BOOST_TEST((empty.length == 0u && !empty.end));
  const cosock::received data = co_await b.receive_message(into);
  BOOST_TEST(data.size == 4u);
  // While send() of nothing does nothing.
  BOOST_TEST(co_await a.send("") == 0u);
  co_await a.send("data");
  const cosock::received next = co_await b.receive_message(into);
  BOOST_TEST(next.size == 4u);
}

COROUTINE_TEST_CASE(a_message_that_is_too_large_is_refused_whole) {
  auto [a, b] = message_pair();
  a.set_send_buffer(10'000);
  const std::vector<char> large(30'000);
  const std::vector<std::string_view> pieces(1025, "x");
  for (auto* call : {+[](local_seqpacket_socket& s, const_buffer b) { return s.send(b); },
                     +[](local_seqpacket_socket& s, const_buffer b) { return s.send_some(b); }}) {
    const outcome o = co_await outcome_of(call(a, large));
    BOOST_TEST(o.error == errc::message_size);
    BOOST_TEST(o.bytes == 0u);
  }
  BOOST_TEST((co_await outcome_of(a.send_message(large))).error == errc::message_size);
  BOOST_TEST((co_await outcome_of(a.send(pieces))).error == errc::message_size);
  const std::vector<std::string_view> as_many(1024, "x");
  BOOST_TEST(co_await a.send(as_many) == 1024u);
  std::vector<char> memory(2000);
  std::vector<mutable_buffer> bytes;
  for (char& c : memory) bytes.emplace_back(&c, 1);
  BOOST_TEST(co_await b.receive(bytes) == 1024u);
  co_await round_trip(a, b);
}

/// Larger than what one call moves elsewhere.
COROUTINE_TEST_CASE(a_large_message_goes_whole) {
  auto [a, b] = message_pair();
  const int size = 8 << 20;
  if (::setsockopt(a.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
    co_return;
  std::vector<char> into(3'000'000);
  BOOST_TEST(co_await a.send(const_buffer(pattern().data(), into.size())) == into.size());
  BOOST_TEST(co_await b.receive(into) == into.size());
  BOOST_TEST((std::memcmp(into.data(), pattern().data(), into.size()) == 0));
}

COROUTINE_TEST_CASE(sends_that_wait_go_out_whole_and_in_order) {
  auto [a, b] = message_pair();
  constexpr int count = 5000;
  const auto write = [&]() -> task<> {
    for (int i = 0; i != count; ++i) {
      const std::size_t size = 4 + i % 3000;
      std::vector<char> message(size, static_cast<char>(i));
      std::memcpy(message.data(), &i, sizeof i);
      BOOST_REQUIRE(co_await a.send(message) == size);
    }
    a.close();
  };
  int expected = 0;
  const auto read = [&]() -> task<> {
    std::vector<char> into(4000);
    while (const std::size_t n = co_await b.receive(into)) {
      int number = 0;
      std::memcpy(&number, into.data(), sizeof number);
      BOOST_REQUIRE(number == expected);
      BOOST_REQUIRE(n == 4u + static_cast<std::size_t>(expected % 3000));
      ++expected;
    }
  };
  co_await cosock::when_all(write(), read());
  BOOST_TEST(expected == count);
}

COROUTINE_TEST_CASE(operations_on_messages_end_as_all_others_do) {
  char into[8];
  const std::vector<char> message(1000);
  co_await check_endings<local_seqpacket_socket>(
      false, [&](local_seqpacket_socket& s) { return s.receive_message(into); });
  co_await check_endings<local_seqpacket_socket>(
      true, [&](local_seqpacket_socket& s) { return s.send_message(message); });
}

BOOST_AUTO_TEST_CASE(loops_end_under_operations_on_messages) {
  char into[8];
  const std::vector<char> message(1000);
  check_loops<local_seqpacket_socket>(
      false, [&](local_seqpacket_socket& s) { return s.receive_message(into); });
  check_loops<local_seqpacket_socket>(
      true, [&](local_seqpacket_socket& s) { return s.send_message(message); });
}

COROUTINE_TEST_CASE(a_cancelled_receive_message_loses_none) {
  auto [a, b] = message_pair();
  char into[8];
  co_await check_races([&] { return b.receive_message(into); }, [&] { return a.send("data"); });
  co_await check_races([&] { return b.receive(into); }, [&] { return a.send("data"); });
}

BOOST_AUTO_TEST_SUITE_END()

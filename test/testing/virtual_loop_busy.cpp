// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A virtual loop and a real peer, a process of its own, on a machine that has too much to do.

#include <cosock/testing/virtual_loop.hpp>

#define BOOST_TEST_MODULE virtual_loop_busy
#include "raw_socket.hpp"
#include "runs.hpp"
#include "support.hpp"

#include <cosock/connect.hpp>
#include <cosock/nursery.hpp>

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace std::chrono_literals;
using cosock::task;

/// A process that does this until the test ends.
class helper {
 public:
  template <class F>
  explicit helper(F work) : process_(::fork()) {
    test::check(process_ >= 0, "fork");
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(280);
    work();
    ::_exit(0);
  }
  helper(const helper&) = delete;
  helper& operator=(const helper&) = delete;
  ~helper() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

 private:
  pid_t process_;
};

void spin() {
  for (std::atomic<unsigned> n = 0;;) ++n;
}

/// Sends back what it receives, for each connection in a process of its own: socat, or a few lines
/// where there is no socat.
void echo(int listening) {
  ::signal(SIGCHLD, SIG_IGN);
  for (;;) {
    auto peer = test::raw_socket::of(::accept(listening, nullptr, nullptr));
    if (::fork() != 0) continue;
    const std::string stream = "FD:" + std::to_string(peer.fd());
    ::execlp("socat", "socat", stream.c_str(), "PIPE", nullptr);
    for (std::string text; !(text = peer.receive()).empty();) peer.send(text);
    ::_exit(0);
  }
}

/// Ten lines there and back, within five seconds, beside a task that is due once a minute.
task<> converse(cosock::endpoint peer, int& minutes) {
  const auto lines = [&]() -> task<> {
    auto socket = co_await cosock::connect(peer);
    for (int i = 0; i != 10; ++i) {
      co_await socket.send("hello");
      char answer[5];
      co_await socket.receive_exactly(answer);
      BOOST_TEST(std::string_view(answer, 5) == "hello");
    }
  };
  co_await cosock::with_nursery([&](cosock::nursery& n) -> task<> {
    n.start([&minutes]() -> task<> {
      for (;; ++minutes) co_await cosock::sleep_for(1min);
    });
    co_await cosock::with_timeout(5s, lines());
    n.cancel();
  });
}

}  // namespace

/// In 100 runs, or as many as COSOCK_TEST_RUNS says.
BOOST_AUTO_TEST_CASE(no_limit_expires_while_a_real_peer_is_waited_for) {
  const test::alarm_clock guard(280);
  const test::listener listening;
  const helper peer([&] { echo(listening.fd()); });
  std::deque<helper> spinning;
  for (unsigned i = 0; i != 2 * std::max(1u, std::thread::hardware_concurrency()); ++i)
    spinning.emplace_back(&spin);
  const int runs = test::number_of_runs(100);
  int minutes = 0;
  cosock::clock::duration longest{};
  for (int i = 0; i != runs; ++i) {
    cosock::testing::virtual_loop loop;
    BOOST_REQUIRE_NO_THROW(loop.run(converse(listening.at(), minutes)));
    longest = std::max(longest, loop.elapsed());
  }
  BOOST_TEST(minutes == 0);
  BOOST_TEST_MESSAGE(runs << " runs, the longest in "
                          << std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()
                          << " ms of virtual time");
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

//! [value]
// Owns its socket and its text. The caller may destroy its own.
cosock::task<> greet(cosock::tcp_socket peer, std::string name) {
  const std::string text = "hello " + name + '\n';
  co_await peer.send(text);
}
//! [value]

//! [reference]
// Borrows both: they must outlive the co_await of the task.
cosock::task<std::size_t> ask(cosock::byte_stream& peer, std::string_view question) {
  co_await peer.send(question);
  char answer[64];
  co_return co_await peer.receive(answer);
}

cosock::task<> ask_twice(cosock::byte_stream& peer) {
  const std::string question = "what?\n";
  co_await ask(peer, question);           // lives until the end of this function
  co_await ask(peer, question + "why?");  // a temporary lives until the end of the expression
}
//! [reference]

cosock::task<> answer(cosock::local_stream_socket peer) {
  char question[64];
  while (co_await peer.receive(question)) co_await peer.send("so");
}

cosock::task<> arguments() {
  auto [local, remote] = cosock::local_pair();
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start(answer, std::move(remote));
    co_await ask_twice(local);
    local.close();
  });

  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  cosock::tcp_socket client = co_await cosock::connect(acceptor.local_endpoint());
  co_await greet(co_await acceptor.accept(), "Ada");
  char text[10];
  co_await client.receive_exactly(text);
  check(std::string_view(text, 10) == "hello Ada\n");
}

//! [nursery]
cosock::task<> count_all(std::vector<std::string> words) {
  std::size_t letters = 0;  // outlives the children: it is declared before the nursery
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    for (std::string& word : words) {
      const auto count = [&letters, word = std::move(word)]() -> cosock::task<> {
        co_await cosock::yield();
        letters += word.size();  // the child owns a copy of the lambda, and so its own word
      };
      tasks.start(count);
    }
    co_return;
  });  // all children have ended
  check(letters == 9);
}
//! [nursery]

//! [closure]
cosock::task<> twice(std::function<cosock::task<>()> work) {
  co_await work();  // `work` and its captures live in this frame
  co_await work();
}

cosock::task<> named_closure() {
  int runs = 0;
  const auto name = std::make_shared<std::string>("Ada");
  const auto work = [&runs, name]() -> cosock::task<> {
    co_await cosock::yield();
    if (*name == "Ada") ++runs;
  };
  co_await work();         // the task refers to the closure, which has a name
  co_await twice(work);    // copied into the parameter
  check(runs == 3);
}
//! [closure]

//! [close]
cosock::task<> close_while_pending() {
  auto [local, remote] = cosock::local_pair();
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start([&]() -> cosock::task<> {
      char buffer[16];
      const auto result = co_await cosock::as_result(local.receive(buffer));
      check(result.error() == cosock::error::closed);
    });
    co_await cosock::yield();  // the receive is pending now
    local.close();
  });
}
//! [close]

//! [move]
cosock::task<> move_while_pending() {
  auto [local, remote] = cosock::local_pair();
  auto owned = std::make_unique<cosock::local_stream_socket>(std::move(local));
  cosock::local_stream_socket target;
  char buffer[2];
  co_await cosock::with_nursery([&](cosock::nursery& tasks) -> cosock::task<> {
    tasks.start([&]() -> cosock::task<> { co_await owned->receive_exactly(buffer); });
    co_await cosock::yield();
    target = std::move(*owned);
    owned.reset();
    co_await remote.send("ok");  // the receive continues, and receives it
  });
  check(std::string_view(buffer, 2) == "ok");
}
//! [move]

//! [loop]
void destroy_the_loop() {
  const auto witness = std::make_shared<int>(0);
  std::optional<cosock::loop> loop(std::in_place);
  auto waiting = loop->start([](std::shared_ptr<int> local) -> cosock::task<> {
    co_await cosock::sleep_for(1h);
    ++*local;  // never
  }(witness));
  loop->poll();
  check(witness.use_count() > 1);

  loop.reset();  // destroys the suspended task and its local variables
  check(witness.use_count() == 1 && *witness == 0);
}
//! [loop]

cosock::task<> run_examples() {
  co_await arguments();
  std::vector<std::string> words{"one", "two", "six"};
  co_await count_all(std::move(words));
  co_await named_closure();
  co_await close_while_pending();
  co_await move_while_pending();
}

}  // namespace

int main() {
  destroy_the_loop();
  return run_snippets(run_examples());
}

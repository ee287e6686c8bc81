// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Prints a dump of its tasks, and aborts. For test/gdb/check, which looks at it with gdb.

#include <cosock/cosock.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

using namespace std::chrono_literals;
using cosock::task;

task<> wait(cosock::event& e) { co_await e.wait(); }

task<> lock_and_wait(cosock::mutex& mutex, cosock::event& e) {
  const auto guard = co_await mutex.lock();
  co_await cosock::named("upstream", cosock::with_timeout(1h, wait(e)));
}
task<> lock(cosock::mutex& mutex) { const auto guard = co_await mutex.lock(); }

task<> receive(cosock::byte_stream& stream) {
  char byte;
  co_await stream.receive(cosock::buffer(&byte, 1));
}
task<> read_line(cosock::byte_stream& stream) {
  cosock::buffered_reader lines(stream);
  co_await lines.read_line();
}
task<> receive_number(cosock::channel<int>& numbers) { co_await numbers.receive(); }
task<> sleep_in_cleanup() { co_await cosock::shielded(cosock::sleep_for(1h)); }

task<> dump_and_abort() {
  for (int i = 0; i != 3; ++i) co_await cosock::yield();
  std::printf("== dump\n%s\n== end\n", cosock::dump_tasks().c_str());
  std::fflush(stdout);
  std::abort();
}

task<> program() {
  cosock::event never;
  cosock::mutex mutex;
  cosock::channel<int> numbers(1);
  auto [one, other] = cosock::local_pair();
  co_await cosock::when_all(lock_and_wait(mutex, never), lock(mutex), receive(one),
                            read_line(other), receive_number(numbers), sleep_in_cleanup(),
                            dump_and_abort());
}

}  // namespace

int main() { return cosock::run(program()); }

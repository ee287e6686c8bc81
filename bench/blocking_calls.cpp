// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// What a call of on_threads() costs, and what calls do to a server on the same loop.
//
//   blocking_calls single ROUNDS       wall time of one call after the other, on a thread that is idle,
//                                      beside a bare program: a condition variable there, an eventfd back
//   blocking_calls outstanding ROUNDS  CPU time of a call, of both threads, with 64 calls at a time
//   blocking_calls latency ROUNDS      an echo server with 1,000 clients, which send 5,000 messages a
//                                      second: the 99th percentile of their round trips, with and without
//                                      eight calls that sleep 100 ms each
//
// Prints a line a round, in which each is first in turn, and the median.

#include <cosock/connect.hpp>
#include <cosock/loop.hpp>
#include <cosock/nursery.hpp>
#include <cosock/run.hpp>
#include <cosock/serve.hpp>
#include <cosock/threads.hpp>
#include <cosock/time.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using cosock::task;
using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point begin) {
  return std::chrono::duration<double>(steady::now() - begin).count();
}

double cpu_seconds() {
  rusage used;
  ::getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

double median(std::vector<double> of) {
  std::sort(of.begin(), of.end());
  return of[of.size() / 2];
}

// One call after the other.

constexpr int single_calls = 20000;

/// A thread that increments a number on request, and reports it.
class bare_thread {
 public:
  bare_thread() : thread_([this] { work(); }) {
    epoll_event wanted = {};
    wanted.events = EPOLLIN;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted);
  }
  ~bare_thread() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_one();
    thread_.join();
    ::close(epoll_);
    ::close(event_);
  }
  void call() {
    {
      const std::lock_guard lock(mutex_);
      has_work_ = true;
    }
    wake_.notify_one();
    epoll_event found;
    ::epoll_wait(epoll_, &found, 1, -1);
    eventfd_t number;
    ::eventfd_read(event_, &number);
  }
  int calls = 0;

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return has_work_ || ends_; });
      if (ends_) return;
      has_work_ = false;
      lock.unlock();
      ++calls;
      ::eventfd_write(event_, 1);
      lock.lock();
    }
  }
  const int event_ = ::eventfd(0, EFD_CLOEXEC);
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::mutex mutex_;
  std::condition_variable wake_;
  bool has_work_ = false;
  bool ends_ = false;
  std::thread thread_;
};

double bare_single() {
  bare_thread thread;
  for (int i = 0; i != 100; ++i) thread.call();
  const auto begin = steady::now();
  for (int i = 0; i != single_calls; ++i) thread.call();
  return seconds_since(begin) / single_calls;
}

task<> call_one_by_one(int calls) {
  int number = 0;
  const auto increment = [&] { ++number; };
  for (int i = 0; i != calls; ++i) co_await cosock::on_threads(increment);
}

double cosock_single() {
  cosock::loop loop;
  loop.run(call_one_by_one(100));
  const auto begin = steady::now();
  loop.run(call_one_by_one(single_calls));
  return seconds_since(begin) / single_calls;
}

void single(int rounds) {
  std::vector<double> ratios;
  for (int round = 0; round != rounds; ++round) {
    double bare = 0;
    if (round % 2 == 0) bare = bare_single();
    const double cosock = cosock_single();
    if (round % 2 != 0) bare = bare_single();
    ratios.push_back(cosock / bare);
    std::printf("bare %.2f us  cosock %.2f us  ratio %.3f\n", bare * 1e6, cosock * 1e6,
                ratios.back());
  }
  std::printf("median ratio %.3f\n", median(ratios));
}

// 64 calls at a time.

constexpr int outstanding_tasks = 64;
constexpr int outstanding_calls = 5000;

void outstanding(int rounds) {
  std::vector<double> all;
  for (int round = 0; round != rounds; ++round) {
    cosock::loop loop;
    const double before = cpu_seconds();
    loop.run([]() -> task<> {
      co_await cosock::with_nursery([](cosock::nursery& in) -> task<> {
        for (int i = 0; i != outstanding_tasks; ++i) in.start(call_one_by_one, outstanding_calls);
        co_return;
      });
    }());
    all.push_back((cpu_seconds() - before) / (outstanding_tasks * outstanding_calls));
    std::printf("CPU time of a call %.2f us\n", all.back() * 1e6);
  }
  std::printf("median %.2f us\n", median(all) * 1e6);
}

// A server, and calls that sleep.

task<> echo(cosock::tcp_socket& client) {
  char buffer[64];
  while (const std::size_t n = co_await client.receive(buffer))
    co_await client.send(cosock::buffer(buffer, n));
}

constexpr int clients = 1000;
constexpr auto interval = 200ms;  // of one client: together 5,000 a second
constexpr int messages = 15;

/// A client, whose first message is the `index`-th of all.
task<> measure_round_trips(cosock::endpoint server, int index, std::vector<double>& round_trips) {
  cosock::tcp_socket socket = co_await cosock::connect(server);
  auto due = cosock::now() + 500ms + interval * index / clients;
  char message[64] = {};
  for (int i = 0; i != messages; ++i, due += interval) {
    co_await cosock::sleep_until(due);
    const auto begin = steady::now();
    co_await socket.send(message);
    co_await socket.receive_exactly(message);
    if (i != 0) round_trips.push_back(seconds_since(begin));
  }
}

void run_clients(cosock::endpoint server, std::vector<double>& round_trips) {
  cosock::loop loop;
  loop.run([](cosock::endpoint server, std::vector<double>& round_trips) -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& all) -> task<> {
      for (int i = 0; i != clients; ++i)
        all.start(measure_round_trips, server, i, std::ref(round_trips));
      co_return;
    });
  }(server, round_trips));
}

/// The 99th percentile in seconds.
task<double> percentile_99(int sleeping_calls) {
  cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  const cosock::endpoint server = acceptor.local_endpoint();
  cosock::server_handle handle;
  std::vector<double> round_trips;
  round_trips.reserve(clients * messages);
  const auto measure = [&]() -> task<> {
    const auto all_clients = [&] { run_clients(server, round_trips); };
    co_await cosock::on_threads(all_clients);
    handle.stop();
  };
  const auto sleep = [&]() -> task<> {
    while (!handle.is_stopping())
      co_await cosock::on_threads([] { std::this_thread::sleep_for(100ms); });
  };
  co_await cosock::with_nursery([&](cosock::nursery& all) -> task<> {
    for (int i = 0; i != sleeping_calls; ++i) all.start(sleep);
    all.start(measure);
    co_await cosock::serve(acceptor, echo, handle);
  });
  const auto at = round_trips.begin() + static_cast<std::ptrdiff_t>(round_trips.size() * 99 / 100);
  std::nth_element(round_trips.begin(), at, round_trips.end());
  co_return *at;
}

void latency(int rounds) {
  std::vector<double> ratios;
  for (int round = 0; round != rounds; ++round) {
    double without = 0;
    if (round % 2 == 0) without = cosock::loop().run(percentile_99(0));
    const double with = cosock::loop().run(percentile_99(8));
    if (round % 2 != 0) without = cosock::loop().run(percentile_99(0));
    ratios.push_back(with / without);
    std::printf("without calls %.0f us  with calls %.0f us  ratio %.3f\n", without * 1e6,
                with * 1e6, ratios.back());
  }
  std::printf("median ratio %.3f\n", median(ratios));
}

int main(int argc, char** argv) {
  const std::string_view what = argc == 3 ? argv[1] : "";
  const int rounds = argc == 3 ? std::atoi(argv[2]) : 0;
  if (rounds > 0 && what == "single")
    single(rounds);
  else if (rounds > 0 && what == "outstanding")
    outstanding(rounds);
  else if (rounds > 0 && what == "latency")
    latency(rounds);
  else
    return cosock::usage_error("usage: blocking_calls single|outstanding|latency ROUNDS");
}

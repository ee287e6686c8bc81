// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// beside [PLUGIN]: what cosock and Asio share in a program that includes the bridge; with a plugin of
// another Boost, that both work in one process. With BESIDE_WITHOUT_BRIDGE the plugin only.

#ifndef BESIDE_WITHOUT_BRIDGE
#include <cosock/asio.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#endif
#include <cosock/cosock.hpp>

#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace std::chrono_literals;

static void must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::exit(1);
}

#ifndef BESIDE_WITHOUT_BRIDGE
namespace asio = boost::asio;

struct counter_service : asio::execution_context::service {
  static inline asio::execution_context::id id;
  explicit counter_service(asio::execution_context& of) : asio::execution_context::service(of) {}
  void shutdown() override {}
  int count = 0;
};

static cosock::task<> shared() {
  const auto executor = cosock::loop_executor();
  auto& context = asio::query(executor, asio::execution::context);
  must(asio::has_service<asio::detail::reactor>(context), "the reactor of the loop is found");
  must(asio::has_service<asio::detail::scheduler>(context), "its scheduler is found");
  ++asio::use_service<counter_service>(context).count;
  must(asio::use_service<counter_service>(context).count == 1, "a service of the program");

  bool inside = false;
  asio::dispatch(executor, [&] { inside = true; });
  must(inside, "code of the program runs inside the loop");
  auto strand = asio::make_strand(executor);
  co_await asio::post(strand, cosock::use_task);
  asio::dispatch(strand, [&] { inside = strand.running_in_this_thread(); });
  while (!inside) co_await cosock::sleep_for(100us);

  // Both hear of a signal, whoever came first.
  cosock::signal_set ours{SIGUSR1};
  asio::signal_set theirs(executor, SIGUSR1);
  auto waits = theirs.async_wait(asio::use_future);
  ::raise(SIGUSR1);
  must(co_await ours.wait() == SIGUSR1, "a signal reaches cosock");
  while (waits.wait_for(0s) != std::future_status::ready) co_await cosock::sleep_for(100us);
  must(waits.get() == SIGUSR1, "a signal reaches Asio");

  auto [a, b] = cosock::local_pair();
  cosock::async_stream stream(a);
  b.close();
  char into[1];
  const auto end =
      co_await cosock::as_result(stream.async_read_some(asio::buffer(into), cosock::use_task));
  must(end.error() == asio::error::eof, "errors are the same");
}

static void bridge() {
  cosock::loop().run(shared());
  asio::io_context context;
  auto in_context = cosock::spawn(
      context,
      [&]() -> cosock::task<> {
        must(context.get_executor().running_in_this_thread(), "in the context of the program");
        co_return;
      },
      asio::use_future);
  auto strand = asio::make_strand(context);
  auto in_strand = cosock::spawn(
      strand,
      [&]() -> cosock::task<> {
        co_await cosock::yield();
        must(strand.running_in_this_thread(), "in a strand of the program");
        asio::steady_timer soon(cosock::loop_executor(), 1ms);
        co_await soon.async_wait(cosock::use_task);
      },
      asio::use_future);
  context.run();
  in_context.get();
  in_strand.get();
}
#else
static void bridge() {}
#endif

static cosock::task<> echo_and_call(int (*run)()) {
  auto [a, b] = cosock::local_pair();
  co_await a.send("x");
  char into[1];
  co_await b.receive_exactly(into);
  must(run() == 0, "the plugin in a task");
  co_await cosock::sleep_for(1ms);
  must(run() == 0, "the plugin again");
  co_await b.send("y");
  must(co_await a.receive(into) == 1 && into[0] == 'y', "cosock after the plugin");
}

int main(int argc, char** argv) {
  ::alarm(60);
  bridge();
  if (argc == 2) {
    void* const plugin = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!plugin) std::fprintf(stderr, "%s\n", ::dlerror());
    must(plugin, "the plugin is loaded");
    const auto run = reinterpret_cast<int (*)()>(::dlsym(plugin, "plugin_run"));
    must(run, "the plugin has its function");
    must(run() == 0, "the plugin by itself");
    cosock::loop().run(echo_and_call(run));
    must(run() == 0, "the plugin at last");
    bridge();
  }
  std::puts("beside");
}

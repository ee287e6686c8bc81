// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// run_loops(): threads that each run a loop, and the number of processors that they may use. The
// tasks that wait for the threads are children of a nursery on the loop of the caller.

#include <cosock/loops.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "loop/cpu_quota.hpp"
#include "loop/engine.hpp"

#include <cosock/cancel.hpp>
#include <cosock/detail/size.hpp>
#include <cosock/mailbox.hpp>
#include <cosock/nursery.hpp>

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace cosock {

namespace {

using detail::engine;

/// The processors of this thread's affinity; empty if the system does not report them.
std::vector<int> allowed_processors() {
  std::vector<int> all;
  // The call fails with EINVAL if the set is smaller than the kernel's own, whose size it does not
  // tell.
  for (std::size_t processors = 1024; processors <= 1 << 20; processors *= 2) {
    std::vector<cpu_set_t> set(processors / CPU_SETSIZE);
    const std::size_t size = set.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, size, set.data()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    for (std::size_t i = 0; i != processors; ++i)
      if (CPU_ISSET_S(i, size, set.data())) all.push_back(static_cast<int>(i));
    break;
  }
  return all;
}

void pin_thread(int processor) {
  std::vector<cpu_set_t> set(static_cast<std::size_t>(processor) / CPU_SETSIZE + 1);
  const std::size_t size = set.size() * sizeof(cpu_set_t);
  CPU_SET_S(static_cast<std::size_t>(processor), size, set.data());
  if (::sched_setaffinity(0, size, set.data()) != 0)
    detail::raise(detail::system_failure(errno), "processor " + std::to_string(processor));
}

/// The place of one loop among several.
struct place {
  unsigned index;
  unsigned siblings;  // loops that do the same work
  int processor;      // negative: any processor
};

/// A thread with a loop, which runs a body. Belongs to the task that waits for it, on another loop.
/// The mutex guards the pointers into the loop of the thread.
class loop_thread {
 public:
  loop_thread(std::unique_ptr<detail::loop_body> body, place at)
      : body_(std::move(body)), place_(at) {
    try {
      thread_ = std::thread([this, ended = ended_.make_sender()] {
        run();
        static_cast<void>(ended.try_send('.'));
      });
    } catch (const std::system_error& e) {
      detail::raise(detail::system_failure(e.code().value()), "a thread for a loop");
    }
  }
  // Not joined yet: the task that waits was destroyed. This blocks until the thread has ended,
  // because the thread uses this object.
  ~loop_thread() {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      abandoned_ = true;
      if (loop_) engine::get(*loop_).abandon();
    }
    thread_.join();
  }
  loop_thread(const loop_thread&) = delete;
  loop_thread& operator=(const loop_thread&) = delete;

  /// Waits until the body has ended, and rethrows its exception.
  task<> wait() {
    bool cancelled = false;
    {
      const auto ended = co_await as_result(ended_.receive());
      cancelled = !ended;
    }
    if (cancelled) {
      cancel();
      co_await shielded(ended_.receive());
    }
    thread_.join();  // does not block for long: the message is the last thing that the thread does
    if (error_ && !(cancelled && detail::is_cancelled(detail::failure_of(error_))))
      std::rethrow_exception(error_);
    if (cancelled) detail::raise(detail::cancelled_failure());
  }

 private:
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (loop_) loop_->post([scope = scope_] { scope->cancel(); });
  }

  /// The function of the thread. When it returns, the loop and everything on it is destroyed.
  void run() noexcept {
    try {
      ::pthread_setname_np(::pthread_self(), ("loop " + std::to_string(place_.index)).c_str());
      if (place_.processor >= 0) pin_thread(place_.processor);
      cosock::loop loop;
      cancel_scope scope;
      engine::get(loop).siblings = place_.siblings;
      // Publishes the loop to the other thread, or acts on a cancellation that came before.
      // Destroyed before the loop, so that the other thread never uses a loop that is gone.
      struct visible {
        visible(loop_thread& thread, cosock::loop& loop, cancel_scope& scope) : thread(thread) {
          const std::lock_guard lock(thread.mutex_);
          if (thread.cancelled_) scope.cancel();
          if (thread.abandoned_) engine::get(loop).abandon();
          thread.loop_ = &loop;
          thread.scope_ = &scope;
        }
        ~visible() {
          const std::lock_guard lock(thread.mutex_);
          thread.loop_ = nullptr;
        }
        loop_thread& thread;
      } const here(*this, loop, scope);
      loop.run(run_body(scope));
    } catch (...) {
      error_ = std::current_exception();
    }
    body_.reset();
  }
  task<> run_body(cancel_scope& scope) { co_await scope.run(body_->run(place_.index)); }

  std::unique_ptr<detail::loop_body> body_;
  const place place_;
  std::exception_ptr error_;  // used by the thread only, until it has ended
  std::mutex mutex_;
  loop* loop_ = nullptr;  // not null while the loop runs
  cancel_scope* scope_ = nullptr;
  bool cancelled_ = false;
  bool abandoned_ = false;
  mailbox<char> ended_{1};
  std::thread thread_;  // last: it uses the other members
};

task<> wait_for(std::unique_ptr<loop_thread> thread) { co_await thread->wait(); }

}  // namespace

unsigned usable_cores() noexcept {
  try {
    const detail::standard_numbers_occupied guard;
    const unsigned allowed = static_cast<unsigned>(allowed_processors().size());
    const unsigned cores = allowed ? allowed : std::thread::hardware_concurrency();
    return std::max(std::min(cores, detail::least_quota("/proc/self/cgroup", "/sys/fs/cgroup")),
                    1u);
  } catch (...) {
    return 1;
  }
}

unsigned detail::loop_count(std::optional<unsigned> n) {
  if (!n) return usable_cores();
  if (*n == 0) throw std::invalid_argument("cosock: the number of loops is 0");
  if (*n > max_loops) refuse_size("the number of loops", *n, max_loops);
  return *n;
}

task<> detail::run_loop_bodies(std::vector<std::unique_ptr<loop_body>> bodies,
                               run_loops_options options) {
  std::vector<int> processors;
  if (options.pin) processors = allowed_processors();
  const auto n = static_cast<unsigned>(bodies.size());
  const unsigned all = n * engine::required().siblings;
  co_await with_nursery([&](nursery& loops) -> task<> {
    for (unsigned i = 0; i != n; ++i) {
      const int processor = processors.empty() ? -1 : processors[i % processors.size()];
      loops.start(wait_for,
                  std::make_unique<loop_thread>(std::move(bodies[i]), place{i, all, processor}));
    }
    co_return;
  });
}

}  // namespace cosock

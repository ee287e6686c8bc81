// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The pool: queues, threads, and the way of a job back to its loop. One mutex guards the queues; a
// job runs without it.

#include "loop/thread_pool.hpp"

#include "core/failure.hpp"
#include "loop/signals_blocked.hpp"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <system_error>
#include <thread>

namespace cosock::detail {

namespace {

/// If this code is in a shared library, keeps that library loaded until the process ends: a plugin
/// could be unloaded while detached threads run its code. False if that fails.
bool keep_loaded() noexcept {
  Dl_info info;
  void* map = nullptr;
  if (::dladdr1(reinterpret_cast<void*>(&keep_loaded), &info, &map, RTLD_DL_LINKMAP) == 0)
    return true;  // a program that is linked statically
  const char* const name = static_cast<const link_map*>(map)->l_name;
  if (!name || !*name) return true;                                           // the program itself
  return ::dlopen(name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;  // not closed again
}

}  // namespace

/// Threads are started when needed, end when idle, and are detached: their work cannot be
/// interrupted, so neither a loop nor the process may have to wait for them.
///
/// At most one thread is on its way at a time: it calls the next one when it takes a job and finds
/// another. So many short jobs need few threads, and long ones soon have all that they may have.
class worker_threads {
 public:
  worker_threads() noexcept {
    make_circular(queues_);
    make_circular(running_);
  }

  /// The threads of this process. Never destroyed: threads may be using it at exit. A child that is
  /// forked has none of its parent's threads, so it gets an object of its own.
  static worker_threads& get() {
    static const int forking = pthread_atfork(nullptr, nullptr, [] {
      if (worker_threads* const of_parent = current_.exchange(nullptr)) of_parent_ = of_parent;
    });
    (void)forking;
    worker_threads* existing = current_;
    if (existing) return *existing;
    // Not with a mutex held: keep_loaded() takes the lock of the dynamic linker, and a constructor
    // of a library that another thread loads may come here.
    if (!keep_loaded()) raise(system_failure(ELIBACC));
    auto fresh = std::make_unique<worker_threads>();
    if (current_.compare_exchange_strong(existing, fresh.get())) return *fresh.release();
    return *existing;
  }
  bool is_current() const noexcept { return this == current_; }

  /// The threads, if there were any already.
  static worker_threads* existing() noexcept { return current_; }

  std::size_t queued(const loop_handle& of, bool calls) noexcept {
    const std::lock_guard lock(mutex_);
    std::size_t all = 0;
    for (const link* q = queues_.following; q != &queues_; q = q->following) {
      const link& head = static_cast<const job_queue&>(*q).waiting_;
      for (const link* l = head.following; l != &head; l = l->following) {
        const auto& each = static_cast<const job&>(*l);
        all += each.is_call() == calls && each.back_.get() == &of;
      }
    }
    return all;
  }

  job_queue::figures counters(const job_queue& of) noexcept {
    const std::lock_guard lock(mutex_);
    return of.owner_ == this ? of.now_ : job_queue::figures();
  }

  failure add(job& added) noexcept {
    std::unique_lock lock(mutex_);
    job_queue& queue = *added.queue_;
    if (queue.owner_ != this) {
      make_circular(queue.waiting_);
      queue.now_ = {};
      queue.previous = nullptr;
      queue.owner_ = this;
    }
    job_queue::figures& now = queue.now_;
    const std::size_t free = queue.free();
    if (now.queued >= queue.bounds_.max_queued + free) {
      ++now.refused;
      return system_failure(ENOBUFS);
    }
    added.self_ = added.shared_from_this();
    added.insert_before(queue.waiting_);
    added.queued_ = true;
    if (++now.queued > free) now.queued_peak = std::max(now.queued_peak, now.queued - free);
    if (!queue.linked()) queue.insert_before(queues_);
    if (!needs_thread()) return {};
    if (idle_ != 0) {
      coming_ = true;
      lock.unlock();
      wake_.notify_one();
      return {};
    }
    const failure f = start_thread();
    // Not an error if a thread will take the job later.
    if (f && now.running == 0) {
      remove(added);
      return f;
    }
    return {};
  }

  /// Returns the share of the queue. The caller releases it without the mutex: the job may be
  /// destroyed, and its destructor is not code of the threads.
  [[nodiscard]] std::shared_ptr<job> abandon(job& abandoned) noexcept {
    const std::lock_guard lock(mutex_);
    if (abandoned.abandoned_.exchange(true, std::memory_order_relaxed)) return {};
    if (abandoned.queued_) return remove(abandoned);
    if (abandoned.running_) {
      ++abandoned.queue_->now_.abandoned;
      call_thread();  // another job may begin in its place
    }
    return {};
  }

  /// The same for a job that no thread has taken; null for any other.
  [[nodiscard]] std::shared_ptr<job> withdraw(job& withdrawn) noexcept {
    const std::lock_guard lock(mutex_);
    return withdrawn.queued_ ? remove(withdrawn) : nullptr;
  }

  void wait_for(job& awaited) noexcept {
    std::unique_lock lock(mutex_);
    awaited.is_waited_for_ = true;
    ended_.wait(lock, [&] { return awaited.has_run_; });
  }

  bool is_queued(const job& asked) noexcept {
    const std::lock_guard lock(mutex_);
    return asked.queued_;
  }

 private:
  std::shared_ptr<job> remove(job& removed) noexcept {
    job_queue& queue = *removed.queue_;
    removed.link::unlink();
    removed.queued_ = false;
    if (--queue.now_.queued == 0) queue.unlink();
    return std::move(removed.self_);
  }

  std::size_t startable() const noexcept {
    std::size_t all = 0;
    for (const link* q = queues_.following; q != &queues_; q = q->following)
      all += static_cast<const job_queue&>(*q).startable();
    return all;
  }

  /// The next job that may begin, or null. The queues take turns, so that one cannot keep the others
  /// waiting.
  std::shared_ptr<job> next() noexcept {
    for (link* q = queues_.following; q != &queues_; q = q->following) {
      auto& queue = static_cast<job_queue&>(*q);
      if (queue.startable() == 0) continue;
      queue.unlink();
      queue.insert_before(queues_);
      job& first = static_cast<job&>(*queue.waiting_.following);
      ++queue.now_.running;
      first.running_ = true;
      std::shared_ptr<job> taken = remove(first);
      first.insert_before(running_);
      return taken;
    }
    return nullptr;
  }

  bool needs_thread() const noexcept { return !coming_ && startable() != 0; }

  /// Makes sure that a thread comes if a job may begin. If none can be started, a thread that runs
  /// another job takes it later.
  void call_thread() noexcept {
    if (!needs_thread()) return;
    if (idle_ == 0) {
      (void)start_thread();
      return;
    }
    coming_ = true;
    wake_.notify_one();
  }

  failure start_thread() noexcept {
    const signals_blocked blocked;
    failure failed;
    try {
      std::thread([this] { work(); }).detach();
      coming_ = true;  // the mutex is held: the thread cannot have looked for work yet
    } catch (const std::system_error& e) {
      failed = system_failure(e.code().value());
    } catch (...) {
      failed = system_failure(ENOMEM);
    }
    return failed;
  }

  /// The next job of an idle thread, or null if the thread has to end.
  std::shared_ptr<job> wait_for_job(std::unique_lock<std::mutex>& lock) noexcept {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
      coming_ = false;  // this one looks now
      if (std::shared_ptr<job> found = next()) {
        call_thread();
        return found;
      }
      ++idle_;
      const std::cv_status status = wake_.wait_until(lock, end);
      --idle_;
      if (status == std::cv_status::timeout && startable() == 0) {
        coming_ = false;
        return nullptr;
      }
    }
  }

  void work() noexcept {
    const char* name = nullptr;
    std::unique_lock lock(mutex_);
    while (std::shared_ptr<job> running = wait_for_job(lock)) {
      while (running) {
        lock.unlock();
        if (const char* const due = running->queue_->bounds_.name; due != name)
          pthread_setname_np(pthread_self(), name = due);
        running->run();
        lock.lock();
        note_end(*running);
        const bool is_wanted = !running->abandoned();
        std::shared_ptr<job> ended = std::exchange(running, next());
        // It looks again soon. Not if it destroys the job, whose destructor may take its time.
        if (!running && is_wanted) coming_ = true;
        // Without the mutex, because posting takes the lock of the loop's handle.
        lock.unlock();
        if (is_wanted)
          job::hand_back(std::move(ended));
        else
          ended.reset();
        lock.lock();
      }
    }
  }

  void note_end(job& ended) noexcept {
    job_queue::figures& now = ended.queue_->now_;
    --now.running;
    ++now.completed;
    if (ended.abandoned()) --now.abandoned;
    ended.link::unlink();
    ended.running_ = false;
    ended.has_run_ = true;
    if (ended.is_waited_for_) ended_.notify_all();
  }

  inline static std::atomic<worker_threads*> current_ = nullptr;
  inline static worker_threads* of_parent_ = nullptr;  // reachable, so not reported as a leak
  [[maybe_unused]] worker_threads* const before_ = of_parent_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ended_;  // a job that withdraw_or_wait() waits for
  link queues_;                    // those in which a job waits
  // The jobs that threads run. In a child that was forked, which has no such threads, they are no leak.
  link running_;
  std::size_t idle_ = 0;
  bool coming_ = false;  // a thread is on its way, and will look for a job
};

// Queues

namespace {

/// The queue of a kind. It is never destroyed: threads may use it at exit.
std::shared_ptr<job_queue> queue_of(job_kind kind) noexcept {
  static job_queue queues[] = {
      job_queue({16, 128, 4096, "cosock-resolve"}), job_queue({16, 128, 4096, "cosock-resolve"}),
      job_queue({4, 8, 4096, "cosock-resolve"}), job_queue({64, 128, 4096, "cosock-block"}),
      job_queue({64, 128, 4096, "cosock-call"})};
  return {std::shared_ptr<void>(), &queues[static_cast<std::size_t>(kind)]};  // owns nothing
}

}  // namespace

job_queue::figures job_queue::counters() const noexcept {
  worker_threads* const threads = worker_threads::existing();
  return threads ? threads->counters(*this) : figures();
}

std::size_t job_queue::queued(const loop_handle& of, bool calls) noexcept {
  worker_threads* const threads = worker_threads::existing();
  return threads ? threads->queued(of, calls) : 0;
}

// Jobs

job::job(job_kind kind) noexcept : queue_(queue_of(kind)), is_call_(kind == job_kind::call) {}
job::job(std::shared_ptr<job_queue> queue) noexcept : queue_(std::move(queue)), is_call_(true) {}
job::~job() = default;

failure job::submit(loop_state& loop, job_waiter& waiter) noexcept {
  try {
    threads_ = &worker_threads::get();
  } catch (const std::bad_alloc&) {
    return system_failure(ENOMEM);
  } catch (const boost::system::system_error& e) {
    return to_failure(e.code());
  }
  back_ = scheduler::get(loop).handle();
  waiter_ = &waiter;
  const failure f = threads_->add(*this);
  if (f) waiter_ = nullptr;
  return f;
}

// The threads of a parent process are not here: its jobs are not run, and nobody may wait for them.

void job::abandon() noexcept {
  if (!std::exchange(waiter_, nullptr) || !threads_->is_current()) return;
  const std::shared_ptr<job> released = threads_->abandon(*this);
}

bool job::withdraw() noexcept {
  if (!waiter_) return false;
  if (threads_->is_current()) {
    const std::shared_ptr<job> released = threads_->withdraw(*this);
    if (!released) return false;
  }
  waiter_ = nullptr;
  return true;
}

void job::withdraw_or_wait() noexcept {
  if (!waiter_ || withdraw()) return;
  waiter_ = nullptr;
  threads_->wait_for(*this);
}

bool job::is_queued() const noexcept { return threads_ && threads_->is_queued(*this); }

void job::describe(wait_report& to) const {
  to.operation(is_queued() ? "call that waits for a thread" : "call on a thread");
}

void job::hand_back(std::shared_ptr<job> done) noexcept {
  const std::shared_ptr<loop_handle> back = done->back_;
  job& message = *done;
  message.self_ = std::move(done);
  if (!back->post(message)) message.discard();
}

void job::deliver() {
  const std::shared_ptr<job> self = std::move(self_);
  if (job_waiter* const waiter = std::exchange(waiter_, nullptr)) waiter->job_completed();
}

void job::discard() noexcept { const std::shared_ptr<job> self = std::move(self_); }

// The operation

step job_wait::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (const failure f = job_->submit(*parent.loop, *this)) {
    job_->failed = f;
    return complete_or_yield();
  }
  loop_ = &scheduler::get(*parent.loop);
  ++counter();
  suspend();
  return step::pending;
}

void job_wait::cancel() noexcept {
  if (!loop_) return;  // has its answer, and will be resumed
  if (how_ == on_cancel::abandon)
    job_->abandon();
  else if (!job_->withdraw())
    return;
  failure_ = cancelled_failure();
  --counter();
  std::exchange(loop_, nullptr)->schedule(*this);
}

void job_wait::job_completed() noexcept {
  --counter();
  std::exchange(loop_, nullptr)->schedule(*this);
}

job_wait::~job_wait() {
  if (!loop_) return;
  --counter();
  if (how_ == on_cancel::abandon)
    job_->abandon();
  else
    job_->withdraw_or_wait();
}

int& job_wait::counter() const noexcept {
  return job_->is_call() ? loop_->pending_calls : loop_->pending_look_ups;
}

}  // namespace cosock::detail

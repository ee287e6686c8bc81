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
class thread_pool {
 public:
  thread_pool() noexcept {
    for (queue& entry : queues_) make_circular(entry.waiting);
  }

  /// The pool of this process. Never destroyed: threads may be using it at exit. A child that is
  /// forked has none of its parent's threads, so it gets a pool of its own.
  static thread_pool& get() {
    static const int forking = pthread_atfork(nullptr, nullptr, [] {
      if (thread_pool* const of_parent = current_.exchange(nullptr)) of_parent_ = of_parent;
    });
    (void)forking;
    thread_pool* existing = current_;
    if (existing) return *existing;
    // Not with a mutex held: keep_loaded() takes the lock of the dynamic linker, and a constructor
    // of a library that another thread loads may come here.
    if (!keep_loaded()) raise(system_failure(ELIBACC));
    auto fresh = std::make_unique<thread_pool>();
    if (current_.compare_exchange_strong(existing, fresh.get())) return *fresh.release();
    return *existing;
  }
  bool is_current() const noexcept { return this == current_; }

  /// The pool, if there is one already.
  static thread_pool* existing() noexcept { return current_; }

  std::size_t queued_look_ups(const loop_handle& of) noexcept {
    const std::lock_guard lock(mutex_);
    std::size_t all = 0;
    for (const job_kind kind : {job_kind::look_up, job_kind::look_up_v6, job_kind::local_look_up}) {
      const link& head = queues_[static_cast<std::size_t>(kind)].waiting;
      for (const link* l = head.following; l != &head; l = l->following)
        all += static_cast<const job&>(*l).back_.get() == &of;
    }
    return all;
  }

  failure add(job& added) noexcept {
    const std::lock_guard lock(mutex_);
    queue& of_kind = queue_of(added);
    if (of_kind.length >= bounds_of(added).max_queued) return system_failure(ENOBUFS);
    added.self_ = added.shared_from_this();
    added.insert_before(of_kind.waiting);
    ++of_kind.length;
    const failure f = provide_thread();
    // Not an error if a thread will take the job later.
    if (f && idle_ == 0 && of_kind.running == 0) {
      remove(added);
      return f;
    }
    return {};
  }

  /// Returns the share of the queue. The caller releases it without the mutex: the job may be
  /// destroyed, and its destructor is not code of the pool.
  [[nodiscard]] std::shared_ptr<job> abandon(job& abandoned) noexcept {
    const std::lock_guard lock(mutex_);
    if (abandoned.abandoned_.exchange(true, std::memory_order_relaxed)) return {};
    if (abandoned.linked()) return remove(abandoned);
    if (abandoned.running_) {
      ++queue_of(abandoned).abandoned;
      (void)provide_thread();  // another job may begin in its place
    }
    return {};
  }

 private:
  /// The jobs of one kind.
  struct queue {
    link waiting;
    std::size_t length = 0;
    std::size_t running = 0;
    std::size_t abandoned = 0;  // running jobs that were abandoned
  };

  static std::size_t index(const job& job) noexcept { return static_cast<std::size_t>(job.kind_); }
  static const job_bounds& bounds_of(const job& job) noexcept { return bounds_of_jobs[index(job)]; }
  queue& queue_of(const job& job) noexcept { return queues_[index(job)]; }

  /// How many jobs of the kind may begin.
  static std::size_t startable(const queue& q, const job_bounds& bounds) noexcept {
    const std::size_t waited_for = q.running - q.abandoned;
    return std::min({q.length, bounds.max_running - std::min(waited_for, bounds.max_running),
                     bounds.max_threads - q.running});
  }
  std::size_t startable() const noexcept {
    std::size_t all = 0;
    for (std::size_t i = 0; i != job_kinds; ++i) all += startable(queues_[i], bounds_of_jobs[i]);
    return all;
  }

  std::shared_ptr<job> remove(job& removed) noexcept {
    removed.unlink();
    --queue_of(removed).length;
    return std::move(removed.self_);
  }

  /// The next job that may begin, or null. The kinds take turns, so that one kind cannot keep the
  /// others waiting.
  std::shared_ptr<job> next() noexcept {
    for (std::size_t i = 0; i != job_kinds; ++i) {
      turn_ = (turn_ + 1) % job_kinds;
      queue& q = queues_[turn_];
      if (startable(q, bounds_of_jobs[turn_]) == 0) continue;
      job& first = static_cast<job&>(*q.waiting.following);
      ++q.running;
      first.running_ = true;
      return remove(first);
    }
    return nullptr;
  }

  /// Makes sure that there is a thread for each job that may begin. The bounds of the kinds bound
  /// the number of threads.
  failure provide_thread() noexcept {
    const std::size_t needed = startable();
    const failure f = needed > idle_ ? start_thread() : failure();
    if (needed != 0) wake_.notify_one();
    return f;
  }

  failure start_thread() noexcept {
    const signals_blocked blocked;
    failure failed;
    try {
      std::thread([this] { work(); }).detach();
      ++idle_;  // the mutex is held: the thread cannot have looked for work yet
    } catch (const std::system_error& e) {
      failed = system_failure(e.code().value());
    } catch (...) {
      failed = system_failure(ENOMEM);
    }
    return failed;
  }

  void work() noexcept {
    const char* name = nullptr;
    std::unique_lock lock(mutex_);
    while (wake_.wait_for(lock, std::chrono::seconds(10), [this] { return startable() != 0; })) {
      --idle_;
      std::shared_ptr<job> running = next();
      lock.unlock();
      if (const char* const due = bounds_of(*running).name; due != name)
        pthread_setname_np(pthread_self(), name = due);
      running->run();
      lock.lock();
      queue& of_kind = queue_of(*running);
      --of_kind.running;
      if (running->abandoned()) --of_kind.abandoned;
      running->running_ = false;
      ++idle_;  // it looks for work before it waits
      // Without the mutex: the job may be destroyed here, and posting takes the lock of the loop's
      // handle.
      lock.unlock();
      job::hand_back(std::move(running));
      lock.lock();
    }
    --idle_;
  }

  inline static std::atomic<thread_pool*> current_ = nullptr;
  inline static thread_pool* of_parent_ = nullptr;  // reachable, so not reported as a leak
  [[maybe_unused]] thread_pool* const before_ = of_parent_;

  std::mutex mutex_;
  std::condition_variable wake_;
  queue queues_[job_kinds];
  std::size_t turn_ = 0;
  std::size_t idle_ = 0;
};

failure job::submit(loop_state& loop, job_waiter& waiter) noexcept {
  try {
    pool_ = &thread_pool::get();
  } catch (const std::bad_alloc&) {
    return system_failure(ENOMEM);
  } catch (const boost::system::system_error& e) {
    return to_failure(e.code());
  }
  back_ = scheduler::get(loop).handle();
  waiter_ = &waiter;
  const failure f = pool_->add(*this);
  if (f) waiter_ = nullptr;
  return f;
}

std::size_t job::queued_look_ups(const loop_handle& of) noexcept {
  thread_pool* const pool = thread_pool::existing();
  return pool ? pool->queued_look_ups(of) : 0;
}

void job::abandon() noexcept {
  if (!std::exchange(waiter_, nullptr)) return;
  if (!pool_->is_current()) return;  // the pool of the parent process, whose threads are not here
  const std::shared_ptr<job> released = pool_->abandon(*this);
}

void job::hand_back(std::shared_ptr<job> done) noexcept {
  if (done->abandoned()) return;
  const std::shared_ptr<loop_handle> back = done->back_;
  job& message = *done;
  message.self_ = std::move(done);
  if (!back->post(message)) message.discard();
}

void job::deliver() {
  const std::shared_ptr<job> self = std::move(self_);
  if (job_waiter* const waiter = std::exchange(waiter_, nullptr)) waiter->job_completed();
}

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The executor through which Asio's handlers reach the loop of a task, from any thread. It shares
// the handle of the loop, and does not own the loop. Used by use_task, spawn() and the stream
// adapters.

#include <cosock/detail/asio_build.hpp>
#include <cosock/loop.hpp>
#include <cosock/task.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/execution_context.hpp>

#include <memory>

namespace cosock::detail {

namespace asio = boost::asio;

class asio_loop_handle;

COSOCK_KEPT static const char* const build_compiler[] = {
    COSOCK_BUILD_COMPILER(COSOCK_REFER_TO_FACT)};

/// Allocates from the cache of coroutine frames: Asio's handlers come and go as often as frames.
template <class T>
class frame_allocator {
 public:
  using value_type = T;
  frame_allocator() = default;
  template <class U>
  frame_allocator(const frame_allocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_frame(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) noexcept { release_frame(p, n * sizeof(T)); }
  template <class U>
  bool operator==(const frame_allocator<U>&) const noexcept {
    return true;
  }
};
template <>
class frame_allocator<void> {
 public:
  using value_type = void;
  frame_allocator() = default;
  template <class U>
  frame_allocator(const frame_allocator<U>&) noexcept {}
};

/// A message that is allocated for itself, and releases its own memory.
class self_owned_message : public loop_message {
 public:
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* p, std::size_t size) { release_frame(p, size); }

 protected:
  ~self_owned_message() = default;
};

template <class F>
class posted_function final : public self_owned_message {
 public:
  explicit posted_function(F&& f) : f_(std::move(f)) {}
  void deliver() override {
    // Released first, as Asio does it: the function may start an operation that reuses the memory.
    F f(std::move(f_));
    delete this;
    std::move(f)();
  }
  void discard() noexcept override { delete this; }

 private:
  F f_;
};

/// The loop of a task as an executor. It may outlive the loop; from then on it destroys the
/// functions that are passed to it without calling them.
class COSOCK_API loop_executor_impl {
 public:
  explicit loop_executor_impl(std::shared_ptr<asio_loop_handle> loop) noexcept
      : loop_handle_(std::move(loop)) {}
  /// The executor of the loop that runs on this thread. Throws std::logic_error if no loop runs
  /// here.
  static loop_executor_impl current();

  template <class F>
  void execute(F&& f) const {
    std::decay_t<F> function(std::forward<F>(f));
    // Directly, unless blocking.never was required: the usual case is a handler that Asio calls on
    // the thread of the loop, between two turns.
    if (!posts_ && is_here()) return std::move(function)();
    loop_message* const m = new posted_function<std::decay_t<F>>(std::move(function));
    if (!post(*m)) m->discard();
  }
  asio::execution_context& query(asio::execution::context_t) const noexcept;
  asio::execution::blocking_t query(asio::execution::blocking_t) const noexcept {
    return posts_ ? asio::execution::blocking_t(asio::execution::blocking.never)
                  : asio::execution::blocking_t(asio::execution::blocking.possibly);
  }
  loop_executor_impl require(asio::execution::blocking_t::possibly_t) const noexcept {
    return loop_executor_impl(loop_handle_);
  }
  loop_executor_impl require(asio::execution::blocking_t::never_t) const noexcept {
    loop_executor_impl other(loop_handle_);
    other.posts_ = true;
    return other;
  }
  bool operator==(const loop_executor_impl& other) const noexcept {
    return loop_handle_ == other.loop_handle_ && posts_ == other.posts_;
  }
  bool operator!=(const loop_executor_impl& other) const noexcept { return !(*this == other); }

  /// Whether the loop runs on this thread right now.
  bool is_here() const noexcept;
  /// Queues the message for the loop. False if the loop is gone; the caller discards the message.
  bool post(loop_message&) const noexcept;

 private:
  std::shared_ptr<asio_loop_handle> loop_handle_;
  bool posts_ = false;
};

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The bridge without its templates: the loop as an executor, use_task, loops inside contexts of the
// program, and spawn(). An embedded loop runs only inside its strand; spawn() and the executor may
// be used on any thread.

#include <cosock/asio.hpp>

#include "core/failure.hpp"
#include "loop/engine.hpp"

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/experimental/channel_error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <memory>
#include <vector>

namespace cosock {

namespace detail {

// The loop as an executor

loop_executor_impl loop_executor_impl::current() {
  return loop_executor_impl(engine::required().asio_handle());
}

bool loop_executor_impl::is_here() const noexcept {
  const scheduler* const running = scheduler::current();
  return running && running->handle() == loop_handle_;
}

bool loop_executor_impl::post(loop_message& m) const noexcept { return loop_handle_->post(m); }

asio::execution_context& loop_executor_impl::query(asio::execution::context_t) const noexcept {
  if (asio::execution_context* const context = loop_handle_->context()) return *context;
  // The loop is gone. Not the system context, which starts threads when it is constructed.
  static asio::execution_context none;
  return none;
}

// use_task

asio_operation_state::asio_operation_state(basic_asio_operation& waiter) noexcept
    : executor_impl_(loop_executor_impl::current()), waiter_(&waiter) {}

void asio_operation_state::completed() noexcept {
  pending_ = false;  // from now on cancel() emits nothing: the object may be gone
  post_result();
}

void asio_operation_state::dropped() noexcept {
  dropped_ = true;
  completed();
}

void asio_operation_state::post_result() noexcept {
  if (executor_impl_.is_here())
    deliver();
  else if (!executor_impl_.post(*this))
    drop();  // the loop is gone, and with it the task
}

void asio_operation_state::deliver() noexcept {
  if (waiter_) waiter_->arrive();
  drop();
}

void asio_operation_state::cancel() noexcept {
  cancelled_ = true;
  // All types: an operation acts on those that it supports.
  if (pending_) signal_.emit(asio::cancellation_type::all);
}

void asio_operation_state::abandon() noexcept {
  waiter_ = nullptr;
  if (pending_) signal_.emit(asio::cancellation_type::all);
  drop();
}

void basic_asio_operation::arrive() noexcept {
  arrived_ = true;
  if (waiting_) scheduler::get(*scope_->loop).schedule(*this);
}

step basic_asio_operation::started(cancel_node& parent) noexcept {
  if (arrived_ && parent.loop->take_turn()) return done();
  suspend();
  waiting_ = true;
  if (arrived_)
    scheduler::get(*parent.loop).yield(*this);
  else if (parent.cancelled)  // by code of the program that the initiation has run
    cancel();
  return step::pending;
}

/// Does not end the operation: the task waits for the handler, because Asio may use its buffers
/// until then.
void basic_asio_operation::cancel() noexcept {
  if (!arrived_) state_->cancel();
}

failure basic_asio_operation::failure_of_code(const boost::system::error_code& ec) const noexcept {
  if (state_->is_cancelled() && (ec == boost::system::errc::operation_canceled ||
                                 ec == asio::experimental::error::channel_cancelled))
    return cancelled_failure();
  return to_failure(ec);
}

void basic_asio_operation::rethrow(const std::exception_ptr& e) const {
  if (const failure f = failure_of(e); f && is_cancelled(failure_of_code(to_error_code(f))))
    raise(cancelled_failure());
  std::rethrow_exception(e);
}

// Loops in contexts of the user's

namespace {

bool is_plain(const asio::any_io_executor& e) {
  return e.target<asio::io_context::executor_type>() ||
         e.target<asio::thread_pool::executor_type>();
}
bool is_strand(const asio::any_io_executor& e) {
  return e.target<asio::strand<asio::any_io_executor>>() ||
         e.target<asio::strand<asio::io_context::executor_type>>() ||
         e.target<asio::strand<asio::thread_pool::executor_type>>();
}

/// The strand in which an embedded loop runs. For known types a strand of that type: each type
/// erasure costs allocations.
asio::any_io_executor strand_for(const asio::any_io_executor& e) {
  if (is_strand(e)) return e;
  if (const auto* const known = e.target<asio::io_context::executor_type>())
    return asio::make_strand(*known);
  if (const auto* const known = e.target<asio::thread_pool::executor_type>())
    return asio::make_strand(*known);
  return asio::make_strand(e);
}

/// The same executor, not counted as work: an idle loop must not keep the context running.
asio::any_io_executor without_work(const asio::any_io_executor& e) {
  if (is_plain(e) || is_strand(e)) return e;
  return asio::prefer(e, asio::execution::outstanding_work.untracked);
}

class embedded_loops;

}  // namespace

/// A loop inside a context of the program. It runs only in a strand, which polls it: a strand,
/// because any thread of the context may run it, but one at a time. While it has tasks, the context
/// waits for a duplicate of its epoll descriptor. `embedded_loops` owns it, together with its
/// pending handlers.
class embedded_loop final : public embedded_loop_hook,
                            public std::enable_shared_from_this<embedded_loop> {
 public:
  embedded_loop(embedded_loops& loops, asio::execution_context& context,
                const asio::any_io_executor& given)
      : loops_(loops), given_(given), executor_(strand_for(given)), permanent_(is_plain(given)) {
    loop_.emplace();
    engine& e = engine::get(*loop_);
    e.embedded_ = this;
    e.asio_handle()->set_context(context);
    watch_.emplace(executor_, e.duplicate_descriptor());
  }

  bool is_for(const asio::any_io_executor& e) const { return e == given_ || e == executor_; }
  bool is_of_context() const noexcept { return permanent_; }
  const asio::any_io_executor& executor() const noexcept { return executor_; }
  std::shared_ptr<asio_loop_handle> handle() { return engine::get(*loop_).asio_handle(); }

  void launch(std::unique_ptr<spawned> job) {
    post([self = shared_from_this(), job = std::move(job)]() mutable {
      self->begin(std::move(job));
    });
  }
  void task_ended() noexcept;
  /// Offers the loop to `embedded_loops` for destruction, if nothing uses it.
  void offer() noexcept override;
  /// Destroys the loop. In the strand, or when the context is being destroyed.
  void clear() noexcept {
    ending_ = true;
    loop_.reset();
    watch_.reset();
    work_.reset();
  }
  void clear_soon() {
    post([self = shared_from_this()] { self->clear(); });
  }

  /// The program has called notify_fork(fork_child) of the context: the loop goes on in the child.
  void go_on_in_child() {
    if (!loop_) return;
    engine& e = engine::get(*loop_);
    e.go_on_in_child();
    watch_->close();  // a pending wait ends with an error, and turn() waits for the new descriptor
    watch_->assign(e.duplicate_descriptor());
  }

  int users = 0;  // under the mutex of the service

 private:
  template <class F>
  void post(F f) {
    asio::post(executor_, asio::bind_allocator(frame_allocator<void>(), std::move(f)));
  }
  void begin(std::unique_ptr<spawned> job) {
    if (!loop_) return;
    engine& e = engine::get(*loop_);
    if (!work_) work_.emplace(executor_);  // a context with a task must not run out of work
    ++tasks_;
    {
      const on_scheduler here(&e);
      job.release()->begin(e);
    }
    turn();
  }
  void turn() {
    if (!loop_) return;
    try {
      if (engine::get(*loop_).poll_some()) schedule();
    } catch (...) {
      schedule();  // the exception leaves the run() of the context; the next run() goes on
      throw;
    }
    is_busy() ? watch() : rest();
  }
  void schedule() {
    if (scheduled_) return;
    scheduled_ = true;
    post([self = shared_from_this()] {
      self->scheduled_ = false;
      self->turn();
    });
  }
  bool is_busy() noexcept { return tasks_ != 0 || engine::get(*loop_).background_ != 0; }
  void watch() {
    if (watching_) return;
    watching_ = true;
    watch_->async_wait(
        asio::posix::stream_descriptor::wait_read,
        asio::bind_allocator(frame_allocator<void>(), [self = shared_from_this()](auto) {
          self->watching_ = false;
          if (self->loop_ && self->is_busy()) self->turn();
        }));
  }
  void rest();
  bool is_empty() noexcept { return !engine::get(*loop_).has_services(); }

  embedded_loops& loops_;
  const asio::any_io_executor given_;
  const asio::any_io_executor executor_;
  const bool permanent_;  // the loop of the context itself, which is kept until the context ends
  std::optional<loop> loop_;
  std::optional<asio::posix::stream_descriptor> watch_;
  std::optional<asio::executor_work_guard<asio::any_io_executor>> work_;
  std::size_t tasks_ = 0;
  bool watching_ = false;
  bool scheduled_ = false;
  bool ending_ = false;
};

namespace {

/// The embedded loops of a context: one for the context itself, and one for each strand that has
/// tasks, or had tasks lately. A service of the context, which owns it. The mutex guards the lists,
/// because spawn() may be called on any thread.
class embedded_loops final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;

  explicit embedded_loops(asio::execution_context& context)
      : asio::execution_context::service(context), context_(context) {
    idle_.reserve(max_idle + 1);  // so that push_back() in offer() does not throw
  }

  std::shared_ptr<embedded_loop> get(const asio::any_io_executor& executor) {
    const bool plain = is_plain(executor);
    const std::lock_guard lock(mutex_);
    auto found = std::find_if(all_.begin(), all_.end(), [&](const auto& entry) {
      return plain ? entry->is_of_context() : entry->is_for(executor);
    });
    if (found == all_.end())
      found = all_.insert(all_.end(), std::make_shared<embedded_loop>(*this, context_, executor));
    if ((*found)->users++ == 0) std::erase(idle_, found->get());
    return *found;
  }

  void release(embedded_loop& loop) noexcept {
    const std::lock_guard lock(mutex_);
    --loop.users;
  }
  /// Takes a loop without tasks and objects. If nothing uses it, it is kept for later tasks of its
  /// strand, because making a loop takes several system calls. The oldest idle loop is destroyed if
  /// there are too many.
  void offer(embedded_loop& loop) noexcept {
    std::shared_ptr<embedded_loop> out;
    {
      const std::lock_guard lock(mutex_);
      if (loop.users != 0 || loop.is_of_context() || !find(&loop) ||
          std::find(idle_.begin(), idle_.end(), &loop) != idle_.end())
        return;
      idle_.push_back(&loop);
      if (idle_.size() <= max_idle) return;
      std::shared_ptr<embedded_loop>& oldest = *find(idle_.front());
      idle_.erase(idle_.begin());
      out = std::move(oldest);
      std::erase(all_, nullptr);
    }
    out->clear_soon();  // later, in its own strand: this may be the strand of another loop
  }

  void notify_fork(asio::execution_context::fork_event event) override {
    if (event != asio::execution_context::fork_child) return;
    const std::lock_guard lock(mutex_);
    for (const auto& entry : all_) entry->go_on_in_child();
  }

  void shutdown() override {
    // Without the mutex: the destructors of tasks may call back.
    std::vector<std::shared_ptr<embedded_loop>> all;
    {
      const std::lock_guard lock(mutex_);
      all.swap(all_);
      idle_.clear();
    }
    for (const auto& entry : all) entry->clear();
  }

 private:
  static constexpr std::size_t max_idle = 4;
  std::shared_ptr<embedded_loop>* find(const embedded_loop* loop) noexcept {
    const auto found = std::find_if(all_.begin(), all_.end(),
                                    [&](const auto& entry) { return entry.get() == loop; });
    return found == all_.end() ? nullptr : &*found;
  }

  asio::execution_context& context_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<embedded_loop>> all_;
  std::vector<embedded_loop*> idle_;
};

}  // namespace

/// In the strand. The turn that runs calls rest() if it was the last task.
void embedded_loop::task_ended() noexcept {
  --tasks_;
  loops_.release(*this);
}

void embedded_loop::offer() noexcept {
  if (!ending_ && !is_busy() && is_empty()) loops_.offer(*this);
}

void embedded_loop::rest() {
  if (watching_) watch_->cancel();
  work_.reset();
  offer();
}

// spawn

spawned::~spawned() {
  if (link_) link_->task = nullptr;
}

void spawned::attach_loop(const asio::any_io_executor& executor) {
  asio::execution_context& context = asio::query(executor, asio::execution::context);
  if (engine* const own = engine::of_context(context)) {
    executor_impl_.emplace(own->asio_handle());
  } else {
    // Services are shut down in the reverse order of their construction. The service of
    // stream_descriptor, which an embedded_loop uses, has to end after `embedded_loops`, so it is
    // made first.
    if (!asio::has_service<embedded_loops>(context)) asio::posix::stream_descriptor{executor};
    embedded_in_ = asio::use_service<embedded_loops>(context).get(without_work(executor));
    executor_impl_.emplace(embedded_in_->handle());
  }
}

std::shared_ptr<spawn_cancellation> spawned::make_link() {
  return link_ =
             std::allocate_shared<spawn_cancellation>(frame_allocator<spawn_cancellation>(), *this);
}

void spawned::launch(std::unique_ptr<spawned> job) {
  if (const auto in = job->embedded_in_) return in->launch(std::move(job));
  // Never blocking, so that a task does not start inside the call of spawn().
  const loop_executor_impl home = job->executor_impl_->require(asio::execution::blocking.never);
  home.execute([job = std::move(job)]() mutable { job.release()->begin(*scheduler::current()); });
}

void spawned::begin(loop_state& loop) {
  root_.emplace(loop, *this);
  try {
    root_->start(make(), link_ && link_->cancelled);
  } catch (...) {
    end(std::current_exception());
  }
}

std::exception_ptr spawned::task_root::error() noexcept {
  try {
    check_done();
    rethrow_errors();
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

void spawned::end(std::exception_ptr error) noexcept {
  const std::shared_ptr<embedded_loop> in = embedded_in_;  // complete() destroys this object
  complete(std::move(error));
  if (in) in->task_ended();
}

void spawn_cancellation::cancel() {
  home.execute([self = shared_from_this()] {
    self->cancelled = true;
    if (self->task && self->task->root_) self->task->root_->cancel();
  });
}

void report_error::operator()(const std::exception_ptr& e) const {
  if (e && !is_cancelled(failure_of(e))) on_error(e);
}

// Ends of streams

namespace {

task<> discard(byte_stream& from) {
  char discarded[4096];
  while (co_await from.receive(discarded) != 0) {
  }
}

void end_sending(byte_stream& stream) {
  try {
    stream.shutdown_send();
  } catch (const boost::system::system_error& e) {
    if (e.code() != boost::system::errc::operation_not_supported) throw;
    stream.close();
  }
}

}  // namespace

task<transferred> finish_for(byte_stream& stream, bool client) {
  if (!client) end_sending(stream);
  if (stream.is_open()) co_await discard(stream);
  if (client) end_sending(stream);
  co_return transferred();
}

}  // namespace detail

boost::asio::any_io_executor loop_executor() {
  detail::engine& e = detail::engine::required();
  if (!e.embedded_) return e.context().get_executor();
  return static_cast<detail::embedded_loop*>(e.embedded_)->executor();
}

}  // namespace cosock

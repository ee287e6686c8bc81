// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The loop of a simulated host, and the life of its programs.

#include "testing/host_state.hpp"

#include <memory>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

void host_reactor::attach(cosock::detail::reactor& below, cosock::detail::engine& above) noexcept {
  below_ = &below;
  loop_ = &above;
  if (host_.in.options.order == task_order::shuffled)
    shuffled_.emplace(above, host_.random_number());
}

void host_reactor::add(cosock::detail::io_watch& w, int fd) {
  if (!cosock::detail::is_simulated(fd))
    throw std::logic_error(
        "cosock: a task on a simulated host uses a real descriptor: it has the sockets of the "
        "testing::network only");
  host_.add(w, fd);
  w.insert_before(watches_);
}

void host_reactor::remove(cosock::detail::io_watch& w) noexcept {
  host_.remove(w);
  w.unlink();
}

unsigned host_reactor::wait(std::int64_t deadline, bool) {
  loop_->stamp = static_cast<std::uint64_t>(now());
  if (shuffled_) shuffled_->gather();
  host_.deliver_events();
  const bool is_late = deadline <= host_.in.now;
  if (!shuffled_) return is_late ? unsigned{time_passed} : 0u;
  if (is_late) loop_->expire_timers(host_.in.now);
  shuffled_->gather();
  shuffled_->offer();
  return 0;
}

void host_reactor::wake() noexcept {
  host_.woken.store(true);
  any_woken_.store(true);
}

host_state::host_state(machine& kernel, std::atomic<bool>& any_woken)
    : kernel(kernel), any_woken_(any_woken) {
  start_loop();
}

host_state::~host_state() {
  kernel.crash();
  end_loop();
}

void host_state::start_loop() {
  reactor_ = std::make_unique<host_reactor>(kernel, any_woken_);
  loop_ = std::make_unique<host_loop>(*reactor_, kernel);
  running_ = 0;
}

void host_state::end_loop() noexcept {
  tasks_.clear();
  loop_.reset();
  reactor_.reset();
  kernel.set_alarm(never);
  running_ = 0;
}

void host_state::add(std::function<task<>()> program) {
  programs_.push_back(std::move(program));
  if (loop_) start(programs_.back());
}

void host_state::start(const std::function<task<>()>& program) {
  kernel.record(traced::start);
  ++running_;
  tasks_.emplace_back(*loop_, run(program));
  kernel.mark_dirty();
}

task<> host_state::run(std::function<task<>()> program) {
  try {
    co_await program();
  } catch (...) {
    if (!kernel.in.failure) kernel.in.failure = std::current_exception();
  }
  kernel.record(traced::end);
  --running_;
}

void host_state::crash() {
  kernel.record(traced::crash);
  kernel.crash();
  kernel.has_programs = false;
  end_loop();
}

void host_state::stop() {
  if (!loop_) return;
  kernel.record(traced::stop);
  kernel.has_programs = false;  // before the tasks are destroyed, which may want to open sockets
  kernel.close_all();
  end_loop();
}

void host_state::restart() {
  stop();
  kernel.record(traced::restart);
  kernel.up = kernel.has_programs = true;
  start_loop();
  for (const std::function<task<>()>& program : programs_) start(program);
}

bool host_state::poll() {
  if (!loop_) return false;
  loop_->poll();
  const cosock::detail::engine& e = cosock::detail::engine::get(*loop_);
  kernel.set_alarm(e.deadline());
  if (!e.has_ready()) return false;
  kernel.mark_dirty();
  return true;
}

std::string host_state::waits() const {
  return loop_ ? cosock::detail::task_lines(cosock::detail::engine::get(*loop_)) : std::string();
}

/// A host must not end inside its own loop: later then, when the tasks have run.
template <class F>
static void between_turns(host_state& of, F f) {
  if (cosock::detail::scheduler::current())
    of.kernel.in.call_at(of.kernel.in.now, [&of, f] { f(of); });
  else
    f(of);
}

}  // namespace detail

host::host(std::unique_ptr<detail::host_state> state) noexcept : state_(std::move(state)) {}
host::~host() = default;

void host::add(std::function<task<>()> program) { state_->add(std::move(program)); }
void host::crash() {
  detail::between_turns(*state_, [](detail::host_state& s) { s.crash(); });
}
void host::stop() {
  detail::between_turns(*state_, [](detail::host_state& s) { s.stop(); });
}
void host::restart() {
  detail::between_turns(*state_, [](detail::host_state& s) { s.restart(); });
}
bool host::is_running() const noexcept { return state_->kernel.has_programs; }

void host::limit_descriptors(int count) {
  if (count < 0 || count > 65536)
    throw std::invalid_argument("cosock: host::limit_descriptors: " + std::to_string(count) +
                                " is not from 0 to 65536");
  state_->kernel.max_descriptors = count;
}

const std::string& host::name() const noexcept { return state_->kernel.host_name; }
const std::vector<address>& host::addresses() const noexcept { return state_->kernel.addresses; }

}  // namespace cosock::testing

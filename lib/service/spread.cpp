// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Deals connections to the loop with the fewest, see spread.hpp. Called by accept() on the loops of
// the acceptors, by their reactors, and by messages between the loops.

#include "service/spread.hpp"

#include <memory>

namespace cosock::detail {

spread_group::spread_group(unsigned n) : slots_(n), untaken_(n) {
  for (slot& s : slots_) s.group = this;
}

spread_group::~spread_group() {
  close_homeless();
  for (slot& s : slots_) s.count->leave();
}

descriptor* spread_group::open(unsigned index, int fd) {
  scheduler& loop = scheduler::required();
  spread_listener* const made = spread_listener::open(loop, fd);
  slot& own = slots_[index];
  made->join(shared_from_this(), own);
  const std::lock_guard lock(mutex_);
  own.listener = made;
  own.loop = loop.handle();
  --untaken_;
  return made;
}

void spread_group::close_rest() noexcept {
  const std::lock_guard lock(mutex_);
  untaken_ = 0;
  for (const slot& s : slots_)
    if (s.loop) return;
  close_homeless();
}

/// The loop that accepts and has the fewest connections; null if no loop accepts.
spread_group::slot* spread_group::fewest() noexcept {
  slot* best = nullptr;
  for (slot& s : slots_)
    if (s.accepts && (!best || s.count->get() < best->count->get())) best = &s;
  return best;
}

void spread_group::access::wake(slot& to) noexcept {
  if (to.keeper) return;
  to.keeper = group_.shared_from_this();
  to.woken = to.loop;
  to.next_woken = std::exchange(woken_, &to);
}

spread_group::access::~access() {
  lock_.unlock();
  while (slot* const to = woken_) {
    // Before the message is sent: when it has arrived, another thread may send it again.
    woken_ = to->next_woken;
    const std::shared_ptr<loop_handle> loop = std::move(to->woken);
    if (loop->post(*to)) continue;
    // The loop is ending. Its listener deals the queue when it closes.
    const std::lock_guard lock(group_.mutex_);
    to->keeper.reset();
    to->accepts = false;
  }
}

/// After a connection was queued.
void spread_group::was_passed(slot& to, access& locked) noexcept {
  to.count->add();
  to.has_passed = true;
  locked.wake(to);
}

/// Passes the connection to the loop with the fewest. False if there is none, or no memory.
bool spread_group::deal(new_connection& what, access& locked) noexcept {
  slot* const to = fewest();
  if (!to) return false;
  try {
    to->passed.push_back({what.fd, what.peer, to->count});
  } catch (...) {
    return false;
  }
  was_passed(*to, locked);
  return true;
}

/// The loop of this slot does not accept them.
void spread_group::deal_passed(slot& from, access& locked) noexcept {
  for (; !from.passed.empty(); from.passed.pop_front()) {
    new_connection& what = from.passed.front();
    what.count->drop();
    if (deal(what, locked)) continue;
    what.count = nullptr;
    try {
      homeless_.push_back(what);
      has_homeless_ = true;
    } catch (...) {
      system::close(what.fd);
    }
  }
  from.has_passed = false;
}

void spread_group::close_homeless() noexcept {
  for (const new_connection& what : homeless_) system::close(what.fd);
  homeless_.clear();
  has_homeless_ = false;
}

void spread_group::slot::deliver() {
  std::shared_ptr<spread_group> here;
  {
    const std::lock_guard lock(group->mutex_);
    here = std::move(keeper);
  }
  if (listener) listener->look();
}

void spread_group::slot::discard() noexcept {
  std::shared_ptr<spread_group> here;
  const std::lock_guard lock(group->mutex_);
  here = std::move(keeper);
}

void spread_listener::join(std::shared_ptr<spread_group> group, spread_group::slot& own) noexcept {
  group_ = std::move(group);
  own_ = &own;
}

void spread_listener::begin_accept() noexcept {
  second_look_ = false;
  if (own_->accepts.load(std::memory_order_relaxed) &&
      !group_->has_homeless_.load(std::memory_order_relaxed))
    return;
  spread_group::access locked(*group_);
  own_->accepts = true;
  own_->is_ending = false;
  if (group_->has_homeless_ || own_->has_passed) maybe_ready[reading] = true;
  for (spread_group::slot& s : group_->slots_)
    if (std::exchange(s.has_backlog, false)) {
      if (&s == own_)
        has_backlog = maybe_ready[reading] = true;
      else if (s.loop)
        locked.wake(s);
    }
}

new_connection spread_group::take_passed(slot& to) noexcept {
  if (to.passed.empty()) return {};
  const new_connection taken = to.passed.front();
  to.passed.pop_front();
  to.has_passed = !to.passed.empty();
  return taken;
}

new_connection spread_group::take_homeless(slot& to) noexcept {
  if (homeless_.empty()) return {};
  new_connection taken = homeless_.front();
  homeless_.pop_front();
  has_homeless_ = !homeless_.empty();
  taken.count = to.count;
  taken.count->add();
  return taken;
}

new_connection spread_listener::take_passed() noexcept {
  if (!own_->has_passed.load(std::memory_order_relaxed) &&
      !group_->has_homeless_.load(std::memory_order_relaxed))
    return {};
  const std::lock_guard lock(group_->mutex_);
  const new_connection taken = group_->take_passed(*own_);
  return taken.fd >= 0 ? taken : group_->take_homeless(*own_);
}

new_connection spread_listener::take_rest() noexcept {
  const std::lock_guard lock(group_->mutex_);
  own_->accepts = false;
  own_->is_ending = true;
  const new_connection taken = group_->take_passed(*own_);
  return taken.fd >= 0 || group_->fewest() ? taken : group_->take_homeless(*own_);
}

/// Without the mutex if it stays: two loops that decide at the same time may be wrong by one.
bool spread_listener::keep(new_connection& what) noexcept {
  const unsigned own = own_->count->get();
  for (const spread_group::slot& s : group_->slots_) {
    if (!s.accepts.load(std::memory_order_relaxed) || s.count->get() >= own) continue;
    spread_group::access locked(*group_);
    const spread_group::slot* const to = group_->fewest();
    if (to && to->count->get() < own_->count->get() && group_->deal(what, locked)) return false;
    break;
  }
  what.count = own_->count;
  what.count->add();
  return true;
}

void spread_listener::on_events(unsigned events) noexcept {
  has_backlog = true;
  descriptor::on_events(events);
  if (waiter[reading] || !group_) return;
  spread_group::access locked(*group_);
  locked.wake(*own_);
}

void spread_listener::look() noexcept {
  ready(reading);  // sets maybe_ready, so that an accept that begins now takes what was passed
  if (waiter[reading]) return;
  // A loop that accepts connection after connection has no accept pending for a moment.
  const bool gives_up = std::exchange(second_look_, !second_look_);
  {
    spread_group::access locked(*group_);
    if (!gives_up) {
      locked.wake(*own_);
      return;
    }
    own_->accepts = false;
    group_->deal_passed(*own_, locked);
  }
  deal_backlog();
}

/// Passes the connections that wait in the socket to the loops that accept.
void spread_listener::deal_backlog() noexcept {
  for (;;) {
    spread_group::access locked(*group_);
    if (!group_->fewest()) {
      own_->has_backlog = true;
      return;
    }
    new_connection what = accept_tcp(fd());
    if (what.fd < 0) {
      if (is_worth_another_accept(errno)) continue;
      own_->has_backlog = errno != EAGAIN;
      return;
    }
    if (!group_->deal(what, locked)) system::close(what.fd);
  }
}

void spread_listener::on_detach() noexcept {
  if (!group_) return;
  {
    spread_group::access locked(*group_);
    own_->listener = nullptr;
    own_->accepts = false;
    own_->has_backlog = false;
    own_->loop.reset();
    group_->deal_passed(*own_, locked);
    bool others = group_->untaken_ != 0;
    for (const spread_group::slot& s : group_->slots_) others = others || s.loop;
    if (!others) group_->close_homeless();
  }
  // Otherwise the system would reset them.
  if (!released_) deal_backlog();
  group_.reset();
}

}  // namespace cosock::detail

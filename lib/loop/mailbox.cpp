// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The part of a mailbox that does not know the type of its values: how a sender on any thread wakes
// the loop. Called by mailbox_state, with its mutex held where the comments say so.

#include <cosock/mailbox.hpp>

#include "core/scheduler.hpp"

#include <memory>

namespace cosock::detail {

/// The message to the loop. It keeps the mailbox alive while it is on its way, because all senders
/// and the mailbox may be destroyed meanwhile. One message serves any number of values: `woken_` is
/// true until it arrives.
struct mailbox_base::wake_up final : loop_message {
  void deliver() override { arrive(true); }
  void discard() noexcept override { arrive(false); }
  void arrive(bool on_loop) noexcept {
    const std::shared_ptr<mailbox_base> mailbox = std::move(keeps);
    const std::lock_guard lock(mailbox->mutex_);
    mailbox->woken_ = false;
    if (on_loop) mailbox->deliver();
  }
  std::shared_ptr<mailbox_base> keeps;
};

mailbox_base::mailbox_base()
    : loop_(scheduler::required().handle()), wake_up_(std::make_unique<wake_up>()) {}

mailbox_base::~mailbox_base() = default;

/// With the mutex held. False if the loop is gone.
bool mailbox_base::wake() noexcept {
  if (woken_) return true;
  wake_up_->keeps = shared_from_this();
  woken_ = loop_->post(*wake_up_);
  if (woken_) return true;
  wake_up_->keeps.reset();
  closed_ = true;
  return false;
}

bool mailbox_base::is_on(loop_state& loop) const noexcept { return loop_->is_of(loop); }

void mailbox_base::close() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (waiting_) wake();
}

}  // namespace cosock::detail

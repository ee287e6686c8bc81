// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/mailbox.hpp>

#include "loop/engine.hpp"

namespace cosock::detail {

/// Goes through the scheduler of the loop like a handler, but needs no memory. It keeps the mailbox
/// for as long as it is on its way.
struct mailbox_base::wake_up final : asio::detail::scheduler_operation {
  wake_up() : scheduler_operation(&complete) {}
  static void complete(void* owner, scheduler_operation* base, const boost::system::error_code&,
                       std::size_t) {
    const std::shared_ptr<mailbox_base> of = std::move(static_cast<wake_up*>(base)->keeps);
    const std::lock_guard lock(of->mutex_);
    of->woken_ = false;
    if (owner) of->deliver();  // otherwise the loop is being destroyed
  }
  std::shared_ptr<mailbox_base> keeps;
};

mailbox_base::mailbox_base()
    : remote_(engine::required().remote_), wake_up_(std::make_unique<wake_up>()) {}

mailbox_base::~mailbox_base() = default;

bool mailbox_base::wake() noexcept {
  if (woken_) return true;
  const std::lock_guard lock(remote_->mutex);
  if (!remote_->to) {
    closed_ = true;
    return false;
  }
  woken_ = true;
  wake_up_->keeps = shared_from_this();
  remote_->to->scheduler_.post_immediate_completion(wake_up_.get(), false);
  return true;
}

bool mailbox_base::is_on(core& loop) const noexcept {
  const std::lock_guard lock(remote_->mutex);
  return remote_->to == &loop;
}

void mailbox_base::close() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (waiting_) wake();
}

}  // namespace cosock::detail

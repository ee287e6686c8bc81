// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The definitions of descriptor_handle's members, for the sources that instantiate it: each does it
// for the interfaces of its layer.

#include <cosock/descriptor_handle.hpp>

#include "io/descriptor.hpp"

namespace cosock {

template <class Interface>
descriptor_handle<Interface>& descriptor_handle<Interface>::operator=(
    descriptor_handle&& other) noexcept {
  if (this != &other) {
    if (this->object_) detail::descriptor_of(this->object_)->leave();
    this->object_ = std::exchange(other.object_, nullptr);
  }
  return *this;
}

template <class Interface>
descriptor_handle<Interface>::~descriptor_handle() {
  if (this->object_) detail::descriptor_of(this->object_)->leave();
}

template <class Interface>
void descriptor_handle<Interface>::close() noexcept {
  if (this->object_) detail::descriptor_of(std::exchange(this->object_, nullptr))->close();
}

template <class Interface>
int descriptor_handle<Interface>::release() noexcept {
  return this->object_ ? detail::descriptor_of(std::exchange(this->object_, nullptr))->release()
                       : -1;
}

template <class Interface>
int descriptor_handle<Interface>::native_handle() const noexcept {
  // The loop may have ended before, which closed the descriptor.
  return this->object_ && this->object_->loop ? detail::descriptor_of(this->object_)->exposed_fd()
                                              : -1;
}

}  // namespace cosock

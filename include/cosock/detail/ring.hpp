// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/size.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace cosock::detail {

/// A queue with room for a fixed number of elements, for channels, mailboxes, broadcasts and
/// outboxes. The memory is allocated once, so a push cannot fail. It does not check: the caller
/// asks full() and size() before.
template <class T>
class ring {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "what is queued is moved, and a move that fails would lose it");

 public:
  ring() noexcept = default;
  /// Throws std::invalid_argument, with the name of the option, for more than memory can hold.
  ring(const char* option, std::size_t capacity)
      : capacity_(checked_size(option, capacity, sizeof(T))) {
    if (capacity_) room_ = std::allocator<T>().allocate(capacity_);
  }
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ~ring() {
    clear();
    if (room_) std::allocator<T>().deallocate(room_, capacity_);
  }

  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t size() const noexcept { return size_; }
  bool full() const noexcept { return size_ == capacity_; }
  /// The element at the distance `i` from the first one. 64 bits, because the index may be a
  /// difference of counters that are wider than std::size_t.
  T& operator[](std::uint64_t i) noexcept {
    i += first_;
    return room_[i < capacity_ ? i : i - capacity_];
  }
  const T& operator[](std::uint64_t i) const noexcept { return const_cast<ring&>(*this)[i]; }

  void push(T&& value) noexcept {
    std::construct_at(&(*this)[size_], std::move(value));
    ++size_;
  }
  T pop() noexcept {
    T value(std::move(room_[first_]));
    drop();
    return value;
  }
  // The element is destroyed last: its destructor may use the object that owns this ring.
  void drop() noexcept {
    T* const dropped = &room_[first_];
    first_ = first_ + 1 == capacity_ ? 0 : first_ + 1;
    --size_;
    std::destroy_at(dropped);
  }
  void swap(ring& other) noexcept {
    std::swap(room_, other.room_);
    std::swap(capacity_, other.capacity_);
    std::swap(first_, other.first_);
    std::swap(size_, other.size_);
  }
  void clear() noexcept {
    while (size_ != 0) drop();
  }

 private:
  T* room_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace cosock::detail

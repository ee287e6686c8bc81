// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What will happen in a simulated network, in the order of time. Events of one time happen in the order
// of their keys, so that it does not matter in which order a program that iterates over pointers has
// caused them; with one key, in the order in which they were added.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace cosock::testing::detail {

inline constexpr std::int64_t never = INT64_MAX;

class event {
 public:
  virtual ~event() = default;
  virtual void happen() = 0;

 private:
  friend class event_queue;
  std::int64_t at_ = 0;
  std::uint64_t key_ = 0;
  std::uint64_t order_ = 0;
};

class event_queue {
 public:
  void add(std::int64_t at, std::uint64_t key, std::unique_ptr<event> e) {
    e->at_ = at;
    e->key_ = key;
    e->order_ = next_order_++;
    heap_.push_back(std::move(e));
    std::push_heap(heap_.begin(), heap_.end(), is_later);
  }
  /// The time of the first event; `never` if there is none.
  std::int64_t next() const noexcept { return heap_.empty() ? never : heap_.front()->at_; }
  std::unique_ptr<event> take() {
    std::pop_heap(heap_.begin(), heap_.end(), is_later);
    std::unique_ptr<event> first = std::move(heap_.back());
    heap_.pop_back();
    return first;
  }

 private:
  static bool is_later(const std::unique_ptr<event>& a, const std::unique_ptr<event>& b) noexcept {
    if (a->at_ != b->at_) return a->at_ > b->at_;
    return a->key_ != b->key_ ? a->key_ > b->key_ : a->order_ > b->order_;
  }
  std::vector<std::unique_ptr<event>> heap_;
  std::uint64_t next_order_ = 0;
};

}  // namespace cosock::testing::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The spread of connections over the loops of tcp_acceptors. It owns the connections that are on
// their way between two loops; the acceptors own their sockets.

#include "io/descriptor.hpp"
#include "net/connection_source.hpp"

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace cosock::detail {

class spread_listener;

/// The acceptors of several loops, which deal their connections to the loop with the fewest.
///
/// Each loop accepts from its own socket. If another loop that accepts has fewer connections, the
/// connection goes there: into the queue of its slot, with a message to its loop. Only loops that
/// accept get connections: a loop that has no accept pending when a connection reaches it has until
/// the end of its next turn to accept. After that all its connections, also those of its socket, go
/// to other loops, and it gets no more until it accepts again. If no loop accepts, passed connections
/// wait in `homeless_`, and those in the sockets stay there.
///
/// An acceptor that takes the rest before it closes gets what was passed to its loop, and, if no
/// other loop accepts, what is homeless. Nothing can reach it afterwards, so if all acceptors do, no connection is
/// lost that was taken from the sockets.
class spread_group : public std::enable_shared_from_this<spread_group> {
 public:
  explicit spread_group(unsigned n);
  ~spread_group();
  spread_group(const spread_group&) = delete;
  spread_group& operator=(const spread_group&) = delete;

  /// Opens the acceptor of this index on the running loop.
  descriptor* open(unsigned index, int fd);
  /// No other acceptor will be taken.
  void close_rest() noexcept;
  unsigned connections(unsigned index) const noexcept { return slots_[index].count->get(); }
  /// Passes the connection of `release`, a function, to this loop. False without a call if the
  /// acceptor is not open.
  template <class Release>
  bool pass_to(unsigned index, const endpoint& peer, Release release) {
    access locked(*this);
    if (!slots_[index].loop || slots_[index].is_ending) return false;
    slots_[index].passed.emplace_back();  // first, because it may throw
    slots_[index].passed.back() = {release(), peer, slots_[index].count};
    was_passed(slots_[index], locked);
    return true;
  }

 private:
  friend class spread_listener;
  struct slot final : loop_message {
    void deliver() override;
    void discard() noexcept override;
    spread_group* group = nullptr;
    connection_count* count = new connection_count;
    spread_listener* listener = nullptr;  // for the thread of the loop
    // Guarded by the mutex. Atomic where a look without the mutex may be old.
    std::shared_ptr<loop_handle> loop;  // null: not taken yet, or closed
    std::deque<new_connection> passed;
    std::atomic<bool> has_passed = false;
    std::atomic<bool> accepts = false;
    bool has_backlog = false;              // no loop accepted when it looked
    bool is_ending = false;                // takes the rest, and no accept has begun since
    std::shared_ptr<spread_group> keeper;  // while the message is on its way
    // Between wake() and the end of the access.
    std::shared_ptr<loop_handle> woken;
    slot* next_woken = nullptr;
  };
  /// Holds the mutex. Messages are sent after it is unlocked, so that a loop that wakes up at once does
  /// not have to wait for it.
  class access {
   public:
    explicit access(spread_group& group) noexcept : group_(group), lock_(group.mutex_) {}
    ~access();
    access(const access&) = delete;
    /// Sends the message of the slot, unless it is on its way.
    void wake(slot&) noexcept;

   private:
    spread_group& group_;
    std::unique_lock<std::mutex> lock_;
    slot* woken_ = nullptr;
  };

  // With the mutex:
  slot* fewest() noexcept;
  void was_passed(slot&, access&) noexcept;
  bool deal(new_connection&, access&) noexcept;
  void deal_passed(slot&, access&) noexcept;
  new_connection take_passed(slot&) noexcept;
  new_connection take_homeless(slot&) noexcept;
  void close_homeless() noexcept;

  std::mutex mutex_;
  std::vector<slot> slots_;
  std::deque<new_connection> homeless_;
  std::atomic<bool> has_homeless_ = false;
  unsigned untaken_;
};

/// The listening socket of one loop.
class spread_listener final : public descriptor, private connection_source {
 public:
  spread_listener(scheduler& loop, int fd, fd_kind kind, bool shared) noexcept
      : descriptor(loop, fd, kind, shared) {}
  static spread_listener* open(scheduler& loop, int fd) {
    return make<spread_listener>(loop, fd, fd_kind::socket, true);
  }
  void join(std::shared_ptr<spread_group> group, spread_group::slot& own) noexcept;
  /// The message has arrived.
  void look() noexcept;
  connection_source* source() noexcept override { return group_ ? this : nullptr; }

 private:
  ~spread_listener() override = default;
  void begin_accept() noexcept override;
  new_connection take_passed() noexcept override;
  new_connection take_rest() noexcept override;
  bool keep(new_connection&) noexcept override;
  void on_events(unsigned) noexcept override;
  void on_detach() noexcept override;
  void on_release() noexcept override { released_ = true; }
  void deal_backlog() noexcept;

  std::shared_ptr<spread_group> group_;
  spread_group::slot* own_ = nullptr;
  bool second_look_ = false;
  bool released_ = false;
};

}  // namespace cosock::detail

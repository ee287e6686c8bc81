// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the loops of chat_server share, and nothing else: everything here may be called by any
// thread.

#include <cosock/mailbox.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// What is said, on its way to all who are in the room.
struct news {
  std::string room;
  std::shared_ptr<const std::string> line;
};
using inbox = cosock::mailbox<news>;

/// Who is in which room, and how to tell each loop what is said.
class hall {
 public:
  void add_loop(inbox::sender to) {
    const std::lock_guard lock(mutex_);
    loops_.push_back(to);
  }
  std::vector<inbox::sender> loops() {
    const std::lock_guard lock(mutex_);
    return loops_;
  }

  /// In no room at first. False if the name is taken.
  bool enter(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return rooms_.try_emplace(name).second;
  }
  void move(const std::string& name, const std::string& room) {
    const std::lock_guard lock(mutex_);
    rooms_.at(name) = room;
  }
  void leave(const std::string& name) {
    const std::lock_guard lock(mutex_);
    rooms_.erase(name);
  }
  /// The names of those in a room; " alice bob".
  std::string who(const std::string& where) {
    const std::lock_guard lock(mutex_);
    std::string names;
    for (const auto& [name, room] : rooms_)
      if (room == where) names += ' ' + name;
    return names;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> rooms_;  // by name
  std::vector<inbox::sender> loops_;
};

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The state that all loops of chat_server share. Any thread may call any function in this file.

#include <cosock/mailbox.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// A line for all members of a room.
struct room_message {
  std::string room;
  std::shared_ptr<const std::string> text;
};
using room_mailbox = cosock::mailbox<room_message>;

/// The room of each member, and a sender to the mailbox of each loop. A room exists while it has
/// members.
class chat_rooms {
 public:
  void add_loop(room_mailbox::sender sender) {
    const std::lock_guard lock(mutex_);
    senders_.push_back(sender);
  }
  std::vector<room_mailbox::sender> senders() {
    const std::lock_guard lock(mutex_);
    return senders_;
  }

  /// Returns false if the name is taken.
  bool add_member(const std::string& name, const std::string& room) {
    const std::lock_guard lock(mutex_);
    return rooms_.try_emplace(name, room).second;
  }
  void move_member(const std::string& name, const std::string& room) {
    const std::lock_guard lock(mutex_);
    rooms_.at(name) = room;
  }
  void remove_member(const std::string& name) {
    const std::lock_guard lock(mutex_);
    rooms_.erase(name);
  }
  /// Returns the names of the members of a room, each after a space: " alice bob".
  std::string member_names(const std::string& room) {
    const std::lock_guard lock(mutex_);
    std::string names;
    for (const auto& [name, member_room] : rooms_)
      if (member_room == room) names += ' ' + name;
    return names;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> rooms_;  // by the name of the member
  std::vector<room_mailbox::sender> senders_;
};

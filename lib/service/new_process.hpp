// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A child process that runs another program, with sockets of this one from descriptor 3 on. Made by
// hand_over(); it owns the child until that is left alone, and no socket.

#include <cosock/unique_descriptor.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cosock::detail {

class new_process {
 public:
  /// Starts a program. `environment`: assignments; in those whose value is empty and whose name is
  /// LISTEN_PID or WATCHDOG_PID, the value becomes the id of the new process. `sockets`: descriptors that
  /// it gets, with the numbers from 3 on. Throws system_error, with the program in what().
  new_process(const std::vector<std::string>& arguments, std::vector<std::string> environment,
              std::span<const int> sockets);
  /// Kills the process and waits for it, unless leave_alone() was called or its end was seen.
  ~new_process();
  new_process(const new_process&) = delete;
  new_process& operator=(const new_process&) = delete;

  int id() const noexcept { return id_; }
  /// A descriptor that is readable when the process has ended (pidfd_open(2)), close-on-exec; closed on
  /// Linux before 5.3.
  unique_descriptor& end_descriptor() noexcept { return end_; }
  /// Whether the process has ended. It is no zombie any more then.
  bool has_ended() noexcept;
  /// How it has ended, as a part of a sentence.
  std::string how_it_ended() const;
  /// The process goes on without this object.
  void leave_alone() noexcept { id_ = -1; }

 private:
  int id_ = -1;  // -1: nothing is owned any more
  bool ended_ = false;
  std::optional<int> status_;  // of waitpid(2); none: somebody else has it
  unique_descriptor end_;
};

}  // namespace cosock::detail

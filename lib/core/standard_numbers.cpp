// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "core/standard_numbers.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace cosock::detail {

namespace {

/// All objects of the process share the descriptors, so that one object does not end the occupation
/// while another one still needs it.
std::mutex mutex;
int users = 0;
bool occupied[last_standard_number + 1];

void occupy() noexcept {
  // With O_PATH the descriptor refers to the folder without opening it: read and write fail with
  // EBADF.
  for (int fd; (fd = ::open("/", O_PATH | O_CLOEXEC)) >= 0;) {
    if (fd > last_standard_number) {
      ::close(fd);
      return;
    }
    occupied[fd] = true;
  }
}

void leave() noexcept {
  for (int fd = 0; fd <= last_standard_number; ++fd) {
    if (!occupied[fd]) continue;
    occupied[fd] = false;
    // Another thread may have put a descriptor of its own there. Ours is recognized by O_PATH.
    if (const int flags = ::fcntl(fd, F_GETFL); flags >= 0 && (flags & O_PATH)) ::close(fd);
  }
}

}  // namespace

namespace {

/// A forked child lacks the threads for which the numbers are occupied: their objects will not
/// leave.
void leave_in_child() {
  users = 0;
  leave();
  mutex.unlock();
}

}  // namespace

int move_above_standard(int fd) noexcept {
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, last_standard_number + 1);
  const int error = errno;
  ::close(fd);
  errno = error;
  return moved;
}

standard_numbers_occupied::standard_numbers_occupied() noexcept {
  // The mutex is held during fork, so that the child does not inherit it locked by a missing
  // thread.
  static const int forking =
      pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); }, &leave_in_child);
  static_cast<void>(forking);
  const std::lock_guard lock(mutex);
  if (users++ == 0) occupy();
}

standard_numbers_occupied::~standard_numbers_occupied() {
  const std::lock_guard lock(mutex);
  const int error = errno;
  if (--users == 0) leave();
  errno = error;
}

}  // namespace cosock::detail

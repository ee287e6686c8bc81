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

/// All objects of the process share the descriptors, so that none ends the occupation of another.
std::mutex mutex;
int users = 0;
bool occupied[last_standard_number + 1];

void occupy() noexcept {
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
    // The program may have put something else there.
    if (const int flags = ::fcntl(fd, F_GETFL); flags >= 0 && (flags & O_PATH)) ::close(fd);
  }
}

}  // namespace

namespace {

/// A child that is forked has none of the threads for which the numbers are occupied.
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

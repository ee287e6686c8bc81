// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Streams over descriptors that other processes may share: standard input and output, pipes,
// terminals, files. Such a descriptor must not be put into non-blocking mode, which all processes
// would see; `access` says how it is read and written instead. The second half is the part of
// `descriptor` for these kinds.

#include <cosock/descriptor_stream.hpp>
#include <cosock/unique_descriptor.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/without_sigpipe.hpp"
#include "io/descriptor_handle.hpp"
#include "io/terminal.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <termios.h>

#include <cstdio>
#include <memory>

namespace cosock {

using detail::access;
using detail::descriptor;
using detail::fd_kind;
using detail::system_failure;

namespace {

/// Regular files, and devices such as /dev/null, are always ready, and epoll refuses them with
/// EPERM. Only epoll_ctl tells, so a set is made for the question.
bool is_pollable(int fd) {
  const auto probe =
      unique_descriptor::adopt(detail::above_standard(::epoll_create1(EPOLL_CLOEXEC)));
  epoll_event event = {};
  if (probe.is_open() && ::epoll_ctl(probe.get(), EPOLL_CTL_ADD, fd, &event) == 0) return true;
  if (errno == EPERM) return false;
  detail::raise(system_failure(errno));
}

/// Opens a pipe or a terminal again: the new open file description can be in non-blocking mode, and
/// no other process sees it. Returns a closed descriptor if that is not possible: without /proc,
/// without the permission, for a FIFO without readers, for a terminal in exclusive mode or hung up.
/// A master is not opened again, because that makes another terminal.
unique_descriptor reopen(int fd, fd_kind kind) noexcept {
  if (kind == fd_kind::terminal && detail::is_terminal_master(fd)) return {};
  const int flags = ::fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_DIRECT);
  char name[40];
  // Not /proc/self, which is the main thread: a thread may have a table of descriptors of its own.
  std::snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
  auto own = unique_descriptor::adopt(
      detail::above_standard(::open(name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)));
  struct stat before;
  struct stat now;
  // /dev/tty, for example, leads to the terminal of this process, which may be a different one.
  const bool same = own.is_open() && ::fstat(fd, &before) == 0 && ::fstat(own.get(), &now) == 0 &&
                    before.st_dev == now.st_dev && before.st_ino == now.st_ino &&
                    (kind != fd_kind::terminal || detail::are_same_terminal(fd, own.get()));
  return same ? std::move(own) : unique_descriptor();
}

/// How bytes move through this descriptor. The number may refer to a new open file description
/// afterwards.
access prepare(int fd, fd_kind kind, mode_t type) noexcept {
  if (S_ISSOCK(type)) return access::message;
  if (S_ISFIFO(type) || kind == fd_kind::terminal) {
    const auto own = reopen(fd, kind);
    if (own.is_open() && ::dup3(own.get(), fd, O_CLOEXEC) == fd) return access::non_blocking;
  }
  return access::no_wait;
}

}  // namespace

// The handles of byte streams are here for the sockets, too.
template class descriptor_handle<byte_stream>;

descriptor_stream::~descriptor_stream() = default;

descriptor_stream descriptor_stream::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  detail::scheduler& loop = detail::scheduler::required();
  struct stat info;
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || ::fstat(fd, &info) < 0)
    detail::raise(system_failure(errno));
  fd_kind kind = fd_kind::file;
  access how = access::no_wait;
  if (is_pollable(fd)) {
    kind = S_ISCHR(info.st_mode) && detail::is_terminal(fd) ? fd_kind::terminal : fd_kind::other;
    how = prepare(fd, kind, info.st_mode);
  }
  descriptor* const made = descriptor::open(loop, taken.release(), kind, true);
  made->set_access(how);
  // A FIFO that was opened again does not report an end that came before, so the first receive
  // tries. A terminal is not tried: that would stop a job in the background, which may not want to
  // read.
  if (kind == fd_kind::other) made->maybe_ready[detail::reading] = true;
  return descriptor_stream(made);
}

descriptor_stream descriptor_stream::duplicate(int fd) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, detail::last_standard_number + 1);
  if (own < 0) detail::raise(system_failure(errno));
  return adopt(own);
}

void descriptor_stream::shutdown_send() {
  const int fd = detail::handle_of(object_);
  int type;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)  // not a socket
    detail::raise(system_failure(EOPNOTSUPP));
  detail::shut_down_sending(object_);
}

descriptor_stream descriptor_stream::standard_input() { return duplicate(0); }
descriptor_stream descriptor_stream::standard_output() { return duplicate(1); }

namespace detail {

namespace {

/// Makes a call on a terminal, perhaps in a job in the background. With its default action the
/// signal stops the job until it is in the foreground. A handler would be called without end,
/// because the call starts again after each one; so the signal is blocked, and the call fails or
/// goes on.
template <class F>
ssize_t without_handler(int signal, F call) noexcept {
  if (has_default_action(signal)) return call();
  sigset_t held;
  sigset_t before;
  sigemptyset(&held);
  sigaddset(&held, signal);
  pthread_sigmask(SIG_BLOCK, &held, &before);
  const ssize_t n = call();
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return n;
}

msghdr message_of(const iovec* pieces, std::size_t count) noexcept {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = count;
  return message;
}

/// Whether RWF_NOWAIT is not supported by this kind of descriptor, in this direction, or by the
/// system. Filters of system calls answer EPERM.
bool was_refused(ssize_t n) noexcept {
  return n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM);
}

}  // namespace

/// After RWF_NOWAIT was refused: threads of the pool make the calls from now on. False, with errno,
/// if that is not possible, or not necessary.
bool descriptor::begin_blocking(io_direction direction) noexcept {
  // Another process may have set the mode since.
  const int flags = ::fcntl(fd_, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK)) {
    access_[direction] = access::non_blocking;
    errno = EINTR;  // the caller tries again
    return false;
  }
  try {
    if (!blocking_) blocking_ = std::make_unique<blocking_calls>(*this);
  } catch (const boost::system::system_error& e) {
    errno = e.code().value();
    return false;
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
    return false;
  }
  access_[direction] = access::thread;
  return true;
}

ssize_t descriptor::read_shared(const iovec* pieces, std::size_t count) noexcept {
  const int n = static_cast<int>(count);
  const auto plain = [&] { return ::readv(fd_, pieces, n); };
  switch (access_[reading]) {
    case access::message: {
      msghdr message = message_of(pieces, count);
      return ::recvmsg(fd_, &message, MSG_DONTWAIT);
    }
    case access::no_wait: {
      const ssize_t got = ::preadv2(fd_, pieces, n, -1, RWF_NOWAIT);
      if (!was_refused(got)) return check_read(got);
      if (!begin_blocking(reading)) return -1;
      [[fallthrough]];
    }
    case access::thread: return check_read(blocking_->read(pieces, count));
    case access::non_blocking: break;
  }
  if (kind_ != fd_kind::terminal) return plain();
  return check_read(without_handler(SIGTTIN, plain));
}

ssize_t descriptor::write_shared(const iovec* pieces, std::size_t count) noexcept {
  const int n = static_cast<int>(count);
  const auto plain = [&] { return ::writev(fd_, pieces, n); };
  switch (access_[writing]) {
    case access::message: {
      const msghdr message = message_of(pieces, count);
      return ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    case access::no_wait: {
      const ssize_t put =
          without_sigpipe([&] { return ::pwritev2(fd_, pieces, n, -1, RWF_NOWAIT); });
      if (!was_refused(put)) return check_write(put);
      if (begin_blocking(writing)) errno = EAGAIN;  // see transfer_rare()
      return -1;
    }
    case access::thread: break;
    case access::non_blocking:
      if (kind_ != fd_kind::terminal) return without_sigpipe(plain);
      return check_write(without_handler(SIGTTOU, plain));
  }
  errno = EAGAIN;
  return -1;
}

// EIO of a terminal is the end of the stream if the other side has hung up; otherwise it is an
// error of a job in the background. A read of 0 bytes is the end (Ctrl-D) in canonical mode only.
ssize_t descriptor::check_read(ssize_t n) const noexcept {
  if (kind_ != fd_kind::terminal || n > 0 || (n < 0 && errno != EIO)) return n;
  if (poll_now(fd_, POLLIN) & POLLHUP) return 0;
  errno = n < 0 ? EIO : EAGAIN;
  termios mode;
  const bool is_end = n == 0 && ::tcgetattr(fd_, &mode) == 0 && (mode.c_lflag & ICANON);
  return is_end ? 0 : -1;
}

ssize_t descriptor::check_write(ssize_t n) const noexcept {
  if (n < 0 && errno == EIO && kind_ == fd_kind::terminal)
    errno = poll_now(fd_, POLLOUT) & POLLHUP ? EPIPE : EIO;
  return n;
}

}  // namespace detail

}  // namespace cosock

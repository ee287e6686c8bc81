// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// See the header. A call owns its memory and shares the descriptors, so it may outlive the
// operation, the stream and the loop.

#include "io/blocking_calls.hpp"

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/without_sigpipe.hpp"
#include "io/descriptor.hpp"
#include "io/terminal.hpp"

#include <cosock/unique_descriptor.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstring>
#include <memory>

namespace cosock::detail {

namespace {

int check(int fd) {
  if (fd < 0) raise(system_failure(errno));
  return fd;
}

/// The signals of job control that would stop this process: neither blocked, ignored nor handled.
sigset_t stopping_signals() noexcept {
  sigset_t blocked;
  sigset_t stopping;
  sigemptyset(&stopping);
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  for (const int entry : {SIGTTIN, SIGTTOU})
    if (!sigismember(&blocked, entry) && has_default_action(entry)) sigaddset(&stopping, entry);
  return stopping;
}

}  // namespace

/// The descriptors that all calls share. Duplicates, because the stream may close its own while a
/// call runs; the last user closes them.
struct blocking_calls::handles {
  explicit handles(int fd)
      : duplicate(unique_descriptor::adopt(
            check(::fcntl(fd, F_DUPFD_CLOEXEC, last_standard_number + 1)))),
        is_master(is_terminal_master(fd)) {
    if (is_master)
      stop = unique_descriptor::adopt(above_standard(check(::eventfd(0, EFD_CLOEXEC))));
  }
  unique_descriptor duplicate;
  bool is_master;
  unique_descriptor stop;  // readable when a thread that waits for room has to end
};

/// One call, with memory of its own: the operation, and with it the buffer of the program, may end
/// before the call does.
class blocking_calls::call final : public job {
 public:
  call(std::shared_ptr<const handles> shared, io_direction direction, std::size_t size) noexcept
      : job(job_kind::blocking_io),
        size(size),
        handles_(std::move(shared)),
        direction_(direction) {}

  /// Before submit(), on the loop: lets the call stop the process as it would here, although
  /// threads of the pool block all signals.
  void allow_stop() noexcept {
    allowed_ = stopping_signals();
    allows_stop_ = true;
  }

  /// A pipe that is writable has room for so many bytes, so the write does not block.
  static constexpr std::size_t max_bytes = PIPE_BUF;
  /// The smallest buffer that a terminal allocates; it allocates one if poll(2) reports room.
  static constexpr std::size_t max_master_bytes = 256;
  const std::size_t size;
  std::size_t moved = 0;
  std::size_t taken = 0;  // bytes of `moved` that receives have taken
  int error = 0;
  char data[max_bytes];

 private:
  void run() noexcept override {
    sigset_t before;
    if (allows_stop_) pthread_sigmask(SIG_UNBLOCK, &allowed_, &before);
    direction_ == reading ? read_once() : write_all();
    if (allows_stop_) pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  void read_once() noexcept {
    ssize_t n;
    do {
      n = ::read(fd(), data, size);
    } while (n < 0 && errno == EINTR);
    count(n);
  }
  void write_all() noexcept {
    const std::size_t limit = handles_->is_master ? max_master_bytes : max_bytes;
    bool waits = handles_->is_master;
    while (moved != size && error == 0) {
      if (waits && !wait_for_room()) return;
      const auto write = [&] { return ::write(fd(), data + moved, std::min(size - moved, limit)); };
      const ssize_t n = allows_stop_ ? write() : without_sigpipe(write);
      waits = handles_->is_master || (n < 0 && errno == EAGAIN);  // O_NONBLOCK was set meanwhile
      if (n >= 0 || (errno != EINTR && errno != EAGAIN)) count(n);
    }
  }
  /// False if the thread has to end, or if the other side has hung up.
  bool wait_for_room() noexcept {
    pollfd asked[] = {{fd(), POLLOUT, 0}, {handles_->stop.get(), POLLIN, 0}};
    if (::poll(asked, 2, -1) < 0) return true;
    if (asked[1].revents) return false;
    if (handles_->is_master && !(asked[0].revents & POLLOUT)) error = EIO;  // hung up
    return error == 0;
  }
  int fd() const noexcept { return handles_->duplicate.get(); }
  void count(ssize_t n) noexcept {
    if (n < 0)
      error = errno;
    else
      moved += static_cast<std::size_t>(n);
  }

  const std::shared_ptr<const handles> handles_;
  const io_direction direction_;
  bool allows_stop_ = false;
  sigset_t allowed_ = {};
};

blocking_calls::blocking_calls(descriptor& descriptor)
    : descriptor_(descriptor),
      handles_(std::make_shared<const handles>(descriptor.fd())),
      in_(descriptor, reading),
      out_(descriptor, writing) {}

blocking_calls::~blocking_calls() {
  if (handles_->is_master) ::eventfd_write(handles_->stop.get(), 1);
  for (const lane* entry : {&in_, &out_})
    if (entry->running) entry->running->abandon();
}

void blocking_calls::lane::job_completed() noexcept {
  finished = std::move(running);
  owner.ready(direction);  // the operation that waits, or a later one, takes the result
}

failure blocking_calls::lane::start(std::shared_ptr<call> next) noexcept {
  if (owner.kind() == fd_kind::terminal) next->allow_stop();
  running = std::move(next);
  const failure f = running->submit(*owner.loop, *this);
  if (f) running.reset();
  return f;
}

std::shared_ptr<blocking_calls::call> blocking_calls::make_call(io_direction direction,
                                                                std::size_t size) const noexcept {
  try {
    return std::make_shared<call>(handles_, direction, std::min(size, call::max_bytes));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

bool blocking_calls::is_ready(io_direction direction) const noexcept {
  const lane& asked = direction == reading ? in_ : out_;
  if (asked.running) return false;
  if (asked.finished && (direction == reading || asked.finished->error)) return true;
  return poll_now(descriptor_.fd(), direction == reading ? POLLIN : POLLOUT) != 0;
}

ssize_t blocking_calls::read(const iovec* pieces, std::size_t count) noexcept {
  if (in_.finished) {
    call& from = *in_.finished;
    std::size_t copied = 0;
    for (const iovec* entry = pieces; entry != pieces + count; ++entry) {
      const std::size_t n = std::min(entry->iov_len, from.moved - from.taken);
      std::memcpy(entry->iov_base, from.data + from.taken, n);
      from.taken += n;
      copied += n;
    }
    const int error = from.error;
    if (from.taken == from.moved) in_.finished.reset();
    errno = error;
    return error ? -1 : static_cast<ssize_t>(copied);
  }
  if (!in_.running && poll_now(descriptor_.fd(), POLLIN) != 0) {
    std::size_t room = 0;
    for (const iovec* entry = pieces; entry != pieces + count; ++entry) room += entry->iov_len;
    auto next = make_call(reading, room);
    const failure f = next ? in_.start(std::move(next)) : system_failure(ENOMEM);
    if (f) {
      errno = f.value;
      return -1;
    }
  }
  errno = EAGAIN;
  return -1;
}

step blocking_calls::send(stream_operation& op) noexcept {
  const step reached = attempt(op);
  // While a call runs, only its end makes the direction ready.
  descriptor_.maybe_ready[writing] = reached == step::done;
  return reached;
}

step blocking_calls::attempt(stream_operation& op) noexcept {
  if (out_.running) return step::pending;
  if (const std::shared_ptr<call> last = std::move(out_.finished)) {
    descriptor_.count_bytes(writing, last->moved);
    // The call may be that of an operation that was cancelled. While it ran, no other operation has
    // moved a byte.
    const bool own = op.bytes_moved() != 0;
    if (last->error) {
      if (own) op.take_back(last->size - last->moved);
      errno = last->error;
      descriptor_.check_write(-1);
      return op.failed(descriptor_.lost(errno));
    }
    if (own && (op.requested() == stream_operation::kind::send_some || op.moved(0) == step::done))
      return step::done;
  }
  if (poll_now(descriptor_.fd(), POLLOUT) == 0) return step::pending;

  iovec one = {op.data(), op.left()};
  iovec many[64];
  const iovec* from = &one;
  std::size_t count = 1;
  if (!op.contiguous()) {
    from = many;
    count = op.pieces(reinterpret_cast<piece*>(many), std::size(many));
  }
  std::size_t size = 0;
  for (const iovec* entry = from; entry != from + count; ++entry)
    size += std::min(entry->iov_len, call::max_bytes - size);
  auto next = make_call(writing, size);
  if (!next) return op.failed(system_failure(ENOMEM));
  char* to = next->data;
  for (const iovec* entry = from; entry != from + count && size != 0; ++entry) {
    const std::size_t n = std::min(entry->iov_len, size);
    std::memcpy(to, entry->iov_base, n);
    to += n;
    size -= n;
  }
  const std::size_t handed_over = next->size;
  if (const failure f = out_.start(std::move(next))) return op.failed(f);
  // Counted now: if the operation is cancelled, these bytes count as sent. It ends when the call
  // does.
  op.moved(handed_over);
  return step::pending;
}

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// copy() and copy_both(): from one stream to another, through memory, or between two sockets
// through a pipe with splice(2), which copies nothing to the process. They do not own the streams.

#include <cosock/copy.hpp>

#include "core/checkpoint.hpp"
#include "core/deadline.hpp"
#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "core/without_sigpipe.hpp"
#include "io/descriptor.hpp"

#include <cosock/cancel.hpp>
#include <cosock/detail/size.hpp>
#include <cosock/nursery.hpp>

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>

namespace cosock {

namespace {

using detail::descriptor;
using detail::system_failure;

/// A larger pipe needs fewer calls and turns for the same bytes.
constexpr std::size_t pipe_size = 1 << 20;
/// The size of later pipes. By default the system allows 64 MiB of pipes to the processes of a
/// user; beyond that each new pipe has two pages (pipe(7), pipe-user-pages-soft).
constexpr std::size_t small_pipe_size = 256 << 10;
constexpr int max_large_pipes = 16;
std::atomic<int> large_pipes = 0;

/// One direction of a copy.
struct direction {
  byte_stream& from;
  byte_stream& to;
  std::size_t buffer;
  std::uint64_t bytes = 0;
  cancel_scope* idle = nullptr;  // its deadline moves with each byte that is sent
  std::chrono::nanoseconds limit{};
  const std::unique_ptr<char[]> memory{new char[buffer]};
  bool sending = false;  // an error now is an error of `to`

  void sent(std::size_t n) {
    bytes += n;
    if (idle) idle->set_deadline(detail::deadline_after(limit));
  }
};

/// The descriptor if the stream is a plain socket, without a layer such as TLS above it; otherwise
/// -1.
int socket_of(const byte_stream& s) noexcept {
  const auto* d = dynamic_cast<const descriptor*>(detail::stream_access::object_of(s));
  return d && d->kind() <= detail::fd_kind::socket ? d->fd() : -1;
}

/// A pipe through which bytes pass from socket to socket. Owned by one direction of a copy, because
/// bytes of both would mix.
class splice_pipe {
 public:
  splice_pipe() noexcept {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return;  // then the copy goes through memory
    out_ = detail::above_standard(ends[0]);
    in_ = detail::above_standard(ends[1]);
    if (in_ < 0 || out_ < 0) {
      close();
      return;
    }
    // Relaxed: a counter only; no other memory depends on it.
    large_ = large_pipes.fetch_add(1, std::memory_order_relaxed) < max_large_pipes &&
             set_size(pipe_size);
    if (large_) return;
    large_pipes.fetch_sub(1, std::memory_order_relaxed);
    set_size(small_pipe_size);
  }
  splice_pipe(const splice_pipe&) = delete;
  splice_pipe& operator=(const splice_pipe&) = delete;
  ~splice_pipe() {
    if (in_ < 0) return;
    close();
    if (large_) large_pipes.fetch_sub(1, std::memory_order_relaxed);
  }
  explicit operator bool() const noexcept { return in_ >= 0; }

  /// Moves the bytes that are available to the pipe, and returns their number. 0 if there are no
  /// bytes, or at the end of the stream: the next receive() finds out which.
  std::size_t fill(const byte_stream& from) {
    const int fd = open_socket_of(from);
    for (;;) {
      const ssize_t n =
          ::splice(fd, nullptr, in_, nullptr, pipe_size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n >= 0) return counted(from, detail::reading, n);
      if (errno == EAGAIN) return 0;
      if (errno != EINTR) detail::raise(descriptor_of(from).lost(errno));
    }
  }
  /// Moves the bytes that have room to the socket, and returns their number.
  std::size_t drain(const byte_stream& to, std::size_t max_bytes) {
    const int fd = open_socket_of(to);
    if (const detail::failure f = descriptor_of(to).broken()) detail::raise(f);
    for (;;) {
      const ssize_t n = detail::without_sigpipe([&] {
        return ::splice(out_, nullptr, fd, nullptr, max_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      });
      if (n >= 0) return counted(to, detail::writing, n);
      if (errno == EAGAIN) return 0;
      if (errno != EINTR) detail::raise(descriptor_of(to).lost(errno));
    }
  }

 private:
  void close() noexcept {
    for (int* end : {&in_, &out_})
      if (*end >= 0) ::close(std::exchange(*end, -1));
  }
  static descriptor& descriptor_of(const byte_stream& s) noexcept {
    return *static_cast<descriptor*>(detail::stream_access::object_of(s));
  }
  static int open_socket_of(const byte_stream& s) {
    const int fd = socket_of(s);
    if (fd < 0) detail::raise(detail::closed_failure());
    return fd;
  }
  static std::size_t counted(const byte_stream& s, detail::io_direction direction,
                             ssize_t n) noexcept {
    const auto size = static_cast<std::size_t>(n);
    descriptor_of(s).count_bytes(direction, size);
    return size;
  }
  bool set_size(std::size_t bytes) const noexcept {
    return ::fcntl(in_, F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0;
  }
  int out_ = -1;
  int in_ = -1;
  bool large_ = false;
};

/// Copies until no bytes are available. The pipe is empty afterwards, unless an error is thrown.
task<> splice_what_is_there(direction& d, splice_pipe& through) {
  while (std::size_t left = through.fill(d.from)) {
    d.sending = true;
    while (left != 0) {
      const std::size_t n = through.drain(d.to, left);
      if (n == 0) co_await d.to.wait_writable();
      left -= n;
      if (n != 0) d.sent(n);
    }
    d.sending = false;
    co_await detail::checkpoint();
  }
}

task<> copy_one_way(direction& d) {
  std::optional<splice_pipe> pipe;
  for (;;) {
    const std::size_t n = co_await d.from.receive(mutable_buffer(d.memory.get(), d.buffer));
    if (n == 0) co_return;
    d.sending = true;
    try {
      d.sent(co_await d.to.send(const_buffer(d.memory.get(), n)));
    } catch (const transfer_error& e) {
      d.bytes += e.bytes_transferred();
      throw;
    }
    d.sending = false;
    // Small messages are cheaper through memory. A full buffer shows that more bytes are waiting.
    if (n != d.buffer || socket_of(d.from) < 0 || socket_of(d.to) < 0) continue;
    if (!pipe) pipe.emplace();
    if (*pipe) co_await splice_what_is_there(d, *pipe);
  }
}

/// Both directions of copy_both().
struct duplex {
  direction forth;
  direction back;
  cancel_scope scope_forth = {};
  cancel_scope scope_back = {};
  boost::system::error_code error = {};  // the first one
};

/// An error in receiving ends both directions: there are no more bytes to pass on, and no orderly
/// end. An error in sending ends only this direction, unless it is an error of this process (a
/// category of cosock): the peer may have answered before it read the whole request, and the answer
/// has to be received.
task<> copy_and_shut_down(duplex& all, direction& d, cancel_scope& own, cancel_scope& opposite) {
  const auto done = co_await as_result(own.run(copy_one_way(d)));
  if (!done) {
    if (all.error && done.error() == error::cancelled) co_return;  // by the opposite direction
    if (done.error() == error::cancelled) detail::raise(detail::cancelled_failure());
    if (!all.error) all.error = done.error();
    if (!d.sending || done.error().category() == detail::own_category()) opposite.cancel();
    co_return;
  }
  try {
    d.to.shutdown_send();
  } catch (const boost::system::system_error& e) {
    // A stream without half close, a terminal for example: the end cannot be passed on.
    if (e.code() != boost::system::errc::operation_not_supported && !all.error)
      all.error = e.code();
  }
}

task<> copy_both_ways(duplex& all) {
  co_await with_nursery([&all](nursery& n) -> task<> {
    n.start([&all] { return copy_and_shut_down(all, all.forth, all.scope_forth, all.scope_back); });
    n.start([&all] { return copy_and_shut_down(all, all.back, all.scope_back, all.scope_forth); });
    co_return;
  });
}

std::size_t buffer_size(const copy_options& options) {
  return detail::checked_size("copy_options::buffer", std::max<std::size_t>(options.buffer, 1), 1);
}

}  // namespace

task<std::uint64_t> copy(byte_stream& from, byte_stream& to, copy_options options) {
  direction d{from, to, buffer_size(options)};
  const auto done = co_await as_result(copy_one_way(d));
  if (done) co_return d.bytes;
  if (d.bytes == 0) detail::raise(detail::to_failure(done.error()));
  throw transfer_error(done.error(), d.bytes);
}

task<std::string> receive_to_end(byte_stream& from, std::size_t max_size) {
  std::string all;
  for (std::size_t size = 0;;) {
    if (size == all.size()) {
      // One byte more than the limit shows that there is more.
      const std::size_t limit = detail::saturating_sum(max_size, 1);
      all.resize(std::min(limit, std::max<std::size_t>(4096, detail::saturating_sum(size, size))));
    }
    const std::size_t n = co_await from.receive(buffer(all.data() + size, all.size() - size));
    size += n;
    if (size > max_size)
      detail::raise(detail::own_failure(error::frame_too_long),
                    "more than " + detail::counted(max_size, "byte"));
    if (n == 0) {
      all.resize(size);
      co_return all;
    }
  }
}

task<copy_result> copy_both(byte_stream& first, byte_stream& second, copy_options options) {
  cancel_scope idle;
  const bool limited = !options.idle.is_unlimited();
  const std::size_t buffer = buffer_size(options);
  cancel_scope* const limit = limited ? &idle : nullptr;
  duplex all{{first, second, buffer, 0, limit, options.idle},
             {second, first, buffer, 0, limit, options.idle}};
  if (limited) all.forth.sent(0);  // starts the time
  const auto done = co_await as_result(idle.run(copy_both_ways(all)));
  copy_result result;
  result.first_to_second = all.forth.bytes;
  result.second_to_first = all.back.bytes;
  result.error = all.error;
  if (!done && !all.error) result.error = done.error();
  co_return result;
}

}  // namespace cosock

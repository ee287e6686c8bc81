// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// file_stream: a custom_stream whose bytes come from, and go to, calls on threads. The other functions of
// file.hpp are in files.cpp.

#include <cosock/file.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "io/file_state.hpp"

#include <cosock/threads.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace cosock {

namespace detail {

namespace {

constexpr std::size_t first_read = 16 << 10;
constexpr std::size_t most_ahead = 256 << 10;

bool can_read(file_mode mode) noexcept {
  return mode == file_mode::read || mode == file_mode::update;
}

}  // namespace

/// Reads once. The loop keeps it, with its memory, for the next read.
class file_state::read_call final : public job {
 public:
  explicit read_call(std::shared_ptr<const unique_descriptor> file) noexcept
      : job(job_kind::call), file_(std::move(file)) {}

  std::unique_ptr<char[]> data;
  std::size_t room = 0;
  std::size_t size = 0;  // to read
  std::uint64_t offset = 0;
  std::size_t moved = 0;
  int error = 0;

 private:
  void run() noexcept override {
    ssize_t n;
    do {
      n = ::pread(file_->get(), data.get(), size, static_cast<off_t>(offset));
    } while (n < 0 && errno == EINTR);
    if (n < 0)
      error = errno;
    else
      moved = static_cast<std::size_t>(n);
  }

  const std::shared_ptr<const unique_descriptor> file_;
};

/// Writes until no bytes wait.
class file_state::write_call final : public job {
 public:
  write_call(std::shared_ptr<const unique_descriptor> file, std::shared_ptr<file_writes> writes,
             bool appends) noexcept
      : job(job_kind::call),
        file_(std::move(file)),
        writes_(std::move(writes)),
        appends_(appends) {}

 private:
  void run() noexcept override {
    std::string bytes;
    std::unique_lock lock(writes_->mutex);
    while (!writes_->waiting.empty() && writes_->error == 0) {
      bytes.clear();
      bytes.swap(writes_->waiting);  // keeps the memory of both
      const std::uint64_t offset = writes_->offset;
      lock.unlock();
      const int error = write_all(bytes, offset);
      lock.lock();
      writes_->error = error;
    }
    writes_->runs = false;
  }
  int write_all(const std::string& bytes, std::uint64_t offset) const noexcept {
    for (std::size_t done = 0; done != bytes.size();) {
      const char* const from = bytes.data() + done;
      const std::size_t left = bytes.size() - done;
      const ssize_t n = appends_
                            ? ::write(file_->get(), from, left)
                            : ::pwrite(file_->get(), from, left, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno;
      done += static_cast<std::size_t>(n);
    }
    return 0;
  }

  const std::shared_ptr<const unique_descriptor> file_;
  const std::shared_ptr<file_writes> writes_;
  const bool appends_;
};

failure file_state::waiter::submit(std::shared_ptr<job> next) noexcept {
  scheduler& loop = scheduler::get(*stream_access::object_of(*owner_.stream_)->loop);
  if (const failure f = next->submit(loop, *this)) return f;
  pending_ = std::move(next);
  counted_by_ = &loop;
  ++counted_by_->pending_calls;
  return {};
}

void file_state::waiter::job_completed() noexcept {
  pending_.reset();
  --counted_by_->pending_calls;
  owner_.completed(*this);
}

void file_state::waiter::leave(bool abandons) noexcept {
  if (!pending_) return;
  --counted_by_->pending_calls;
  if (abandons)
    pending_->abandon();
  else
    pending_->detach();
  pending_.reset();
}

file_state::file_state(unique_descriptor file, file_mode mode)
    : mode_(mode),
      file_(std::make_shared<const unique_descriptor>(std::move(file))),
      next_size_(first_read) {}

void file_state::leave() noexcept {
  reads_.leave(true);
  writer_.leave(false);
}

void file_state::seek(std::uint64_t position) noexcept {
  position_ = position;
  forget_read();
  next_size_ = first_read;
}

void file_state::forget_read() noexcept {
  begin_ = end_ = 0;
  ended_ = false;
  read_failed_ = {};
  is_stale_ = reads_.is_pending();
}

failure file_state::start_read() noexcept {
  try {
    // A job is run once, so the next one takes the memory over.
    auto next = std::make_shared<read_call>(file_);
    if (read_ && read_->room >= next_size_) {
      next->data = std::move(read_->data);
      next->room = read_->room;
    } else {
      next->data.reset(new char[next_size_]);
      next->room = next_size_;
    }
    read_ = std::move(next);
  } catch (const std::bad_alloc&) {
    return system_failure(ENOMEM);
  }
  read_->size = next_size_;
  read_->offset = position_;
  next_size_ = std::min(next_size_ * 2, most_ahead);
  return reads_.submit(read_);
}

void file_state::completed(const waiter& of) noexcept {
  if (&of == &reads_) {
    if (!std::exchange(is_stale_, false)) {
      begin_ = 0;
      end_ = read_->moved;
      ended_ = read_->moved == 0 && read_->error == 0;
      if (read_->error != 0) read_failed_ = system_failure(read_->error);
    }
  } else {
    stream_->notify_writable();
  }
  stream_->notify_readable();
}

std::size_t file_state::receive(std::span<const mutable_buffer> into,
                                boost::system::error_code& error) noexcept {
  if (!can_read(mode_)) {
    error = to_error_code(system_failure(EBADF));
    return 0;
  }
  if (!can_receive()) {
    error = to_error_code(system_failure(EAGAIN));
    return 0;
  }
  if (read_failed_) {
    error = to_error_code(std::exchange(read_failed_, failure()));
    return 0;
  }
  std::size_t all = 0;
  for (const mutable_buffer& each : into) {
    const std::size_t n = std::min(each.size(), end_ - begin_);
    if (n != 0) std::memcpy(each.data(), read_->data.get() + begin_, n);
    begin_ += n;
    all += n;
  }
  if (begin_ == end_) ended_ = false;  // it is looked for again
  position_ += all;
  return all;
}

// Starts a read if there is nothing, and none runs.
bool file_state::can_receive() noexcept {
  if (!can_read(mode_)) return true;
  if (writer_.is_pending()) return false;  // a read finds what was sent before
  if (has_read()) return true;
  if (reads_.is_pending()) return false;
  if (const failure f = start_read()) {
    read_failed_ = f;
    return true;
  }
  return false;
}

std::size_t file_state::send(std::span<const const_buffer> from,
                             boost::system::error_code& error) noexcept {
  if (mode_ == file_mode::read) {
    error = to_error_code(system_failure(EBADF));
    return 0;
  }
  const bool appends = mode_ == file_mode::append;
  std::unique_lock lock(writes_->mutex);
  std::string& waiting = writes_->waiting;
  if (writes_->error != 0) {
    error = to_error_code(system_failure(writes_->error));
    return 0;
  }
  const bool follows = appends || waiting.empty() || writes_->offset + waiting.size() == position_;
  if (waiting.size() >= most_ahead || !follows) {
    // The thread has not taken them yet. It tells when it has written all.
    error = to_error_code(system_failure(EAGAIN));
    return 0;
  }
  const std::size_t before = waiting.size();
  try {
    if (waiting.empty()) writes_->offset = position_;
    for (const const_buffer& each : from) {
      const std::size_t n = std::min(each.size(), most_ahead - waiting.size());
      waiting.append(static_cast<const char*>(each.data()), n);
    }
  } catch (const std::bad_alloc&) {
    waiting.resize(before);
    error = to_error_code(system_failure(ENOMEM));
    return 0;
  }
  const std::size_t all = waiting.size() - before;
  if (!std::exchange(writes_->runs, true)) {
    lock.unlock();
    failure f;
    try {
      // The last one has written all, though the loop may not know it yet.
      writer_.leave(false);
      f = writer_.submit(std::make_shared<write_call>(file_, writes_, appends));
    } catch (const std::bad_alloc&) {
      f = system_failure(ENOMEM);
    }
    if (f) {
      lock.lock();
      waiting.resize(before);
      writes_->runs = false;
      stream_->notify_readable();  // a receive may have waited for the last one
      error = to_error_code(f);
      return 0;
    }
  }
  if (!appends) {
    position_ += all;
    forget_read();
  }
  return all;
}

bool file_state::can_send() noexcept {
  if (mode_ == file_mode::read) return true;
  const std::lock_guard lock(writes_->mutex);
  return writes_->error != 0 || !writes_->runs || writes_->waiting.size() < most_ahead;
}

bool file_state::is_written(boost::system::error_code& error) noexcept {
  if (writer_.is_pending()) return false;
  const std::lock_guard lock(writes_->mutex);
  if (writes_->error != 0) error = to_error_code(system_failure(writes_->error));
  return true;
}

}  // namespace detail

file_stream::file_stream(std::unique_ptr<detail::file_state> state) noexcept
    : state_(std::move(state)) {
  state_->attach(*this);
}

file_stream::file_stream(file_stream&& other) noexcept
    : custom_stream(std::move(other)), state_(std::move(other.state_)) {
  if (state_) state_->attach(*this);
}

file_stream& file_stream::operator=(file_stream&& other) noexcept {
  if (this != &other) {
    custom_stream::operator=(std::move(other));
    state_ = std::move(other.state_);
    if (state_) state_->attach(*this);
  }
  return *this;
}

file_stream::~file_stream() = default;

std::uint64_t file_stream::position() const noexcept { return state_ ? state_->position() : 0; }

void file_stream::seek(std::uint64_t position) {
  if (!is_open()) detail::raise(detail::closed_failure());
  if (object_->is_busy()) detail::raise(detail::own_failure(error::busy));
  if (position > LLONG_MAX)
    detail::raise_as(
        detail::system_failure(EINVAL),
        "seek: " + std::to_string(position) + " is not a position; accepted: 0 to 2^63 - 1");
  state_->seek(position);
}

// The state stays where it is when the stream is moved meanwhile.
task<std::uint64_t> file_stream::size() {
  const detail::file_state* const state = state_.get();
  co_await detail::stream_flush_operation(object_);
  const auto ask = [fd = state->fd()] {
    struct stat status;
    if (::fstat(fd, &status) != 0) detail::raise(detail::system_failure(errno));
    return static_cast<std::uint64_t>(status.st_size);
  };
  co_return co_await on_threads(ask);
}

task<> file_stream::resize(std::uint64_t size) {
  detail::file_state* const state = state_.get();
  co_await detail::stream_flush_operation(object_);
  const auto cut = [fd = state->fd(), size] {
    const off_t to = size > LLONG_MAX ? -1 : static_cast<off_t>(size);
    if (::ftruncate(fd, to) != 0) detail::raise(detail::system_failure(errno));
  };
  co_await on_threads(cut);
  state->seek(state->position());
}

task<> file_stream::sync() {
  const detail::file_state* const state = state_.get();
  co_await detail::stream_flush_operation(object_);
  const auto wait = [fd = state->fd()] {
    if (::fdatasync(fd) != 0) detail::raise(detail::system_failure(errno));
  };
  co_await on_threads(wait);
}

std::size_t file_stream::do_receive(std::span<const mutable_buffer> into,
                                    boost::system::error_code& error) noexcept {
  return state_->receive(into, error);
}
std::size_t file_stream::do_send(std::span<const const_buffer> from,
                                 boost::system::error_code& error) noexcept {
  return state_->send(from, error);
}
void file_stream::do_shutdown_send(boost::system::error_code& error) noexcept {
  error = make_error_code(boost::system::errc::operation_not_supported);
}
bool file_stream::can_receive() noexcept { return state_->can_receive(); }
bool file_stream::can_send() noexcept { return state_->can_send(); }
bool file_stream::do_flush(boost::system::error_code& error) noexcept {
  return state_->is_written(error);
}
void file_stream::on_close() noexcept { state_->leave(); }

}  // namespace cosock

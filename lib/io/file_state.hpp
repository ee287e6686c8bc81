// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The part of a file_stream that stays where it is when the stream is moved: what was read ahead, what
// is still to be written, and the calls on threads. Threads share the descriptor and the bytes with it,
// and may outlive it.

#include <cosock/file.hpp>
#include <cosock/unique_descriptor.hpp>

#include "loop/thread_pool.hpp"

#include <memory>
#include <mutex>

namespace cosock::detail {

/// The bytes that a thread is to write. It writes until there are none, so small sends are written
/// together.
struct file_writes {
  std::mutex mutex;
  std::string waiting;
  std::uint64_t offset = 0;  // of `waiting`; not used by a file that is opened to append
  bool runs = false;         // a thread writes, and will look again
  int error = 0;             // of the first write that failed; nothing is written after it
};

class file_state {
 public:
  file_state(unique_descriptor file, file_mode mode);
  file_state(const file_state&) = delete;
  ~file_state() { leave(); }

  void attach(file_stream& stream) noexcept { stream_ = &stream; }
  int fd() const noexcept { return file_->get(); }

  std::uint64_t position() const noexcept { return position_; }
  void seek(std::uint64_t position) noexcept;

  // As those of custom_stream.
  std::size_t receive(std::span<const mutable_buffer> into,
                      boost::system::error_code& error) noexcept;
  std::size_t send(std::span<const const_buffer> from, boost::system::error_code& error) noexcept;
  bool can_receive() noexcept;
  bool can_send() noexcept;
  bool is_written(boost::system::error_code& error) noexcept;
  /// The stream is closed, or its loop ends. What was sent is still written.
  void leave() noexcept;

 private:
  class read_call;
  class write_call;
  /// Receives the results of the calls of one direction.
  class waiter final : public job_waiter {
   public:
    explicit waiter(file_state& owner) noexcept : owner_(owner) {}
    failure submit(std::shared_ptr<job>) noexcept;
    bool is_pending() const noexcept { return pending_ != nullptr; }
    void leave(bool abandons) noexcept;

   private:
    void job_completed() noexcept override;
    file_state& owner_;
    std::shared_ptr<job> pending_;
    scheduler* counted_by_ = nullptr;
  };

  void completed(const waiter&) noexcept;
  failure start_read() noexcept;
  void forget_read() noexcept;
  bool has_read() const noexcept { return begin_ != end_ || ended_ || read_failed_; }

  file_stream* stream_ = nullptr;
  const file_mode mode_;
  const std::shared_ptr<const unique_descriptor> file_;
  std::uint64_t position_ = 0;

  // What was read ahead: the bytes from begin_ to end_, then the end of the file, or an error.
  std::shared_ptr<read_call> read_;
  waiter reads_{*this};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool ended_ = false;
  failure read_failed_;
  bool is_stale_ = false;  // the call that runs reads what is not wanted any more
  std::size_t next_size_;

  const std::shared_ptr<file_writes> writes_ = std::make_shared<file_writes>();
  waiter writer_{*this};
};

}  // namespace cosock::detail

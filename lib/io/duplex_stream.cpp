// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/duplex_stream.hpp>

#include "core/failure.hpp"

#include <cosock/detail/forwarding_object.hpp>

#include <memory>

namespace cosock {

namespace detail {

/// The object of a duplex_stream, with the streams for the two directions.
class duplex_object final : public forwarding_object {
 public:
  duplex_object(descriptor_stream in, descriptor_stream out)
      : in_(std::move(in)), out_(std::move(out)) {
    if (!in_.is_open() || !out_.is_open()) raise(closed_failure());
    loop = below(reading)->loop;
    if (loop != below(writing)->loop) raise(own_failure(error::wrong_loop));
  }

  step transfer(stream_operation& op) override {
    if (op.direction() == writing && !out_.is_open()) return op.failed(system_failure(EPIPE));
    return forwarding_object::transfer(op);
  }

  void end_sending() {
    const io_object* const out = below(writing);
    if (out && out->waiter[writing]) raise(own_failure(error::busy));
    out_.close();
  }

  void close() noexcept {
    end();
    in_.close();
    out_.close();
  }

 private:
  io_object* below(io_direction direction) const noexcept override {
    return stream_access::object_of(direction == reading ? in_ : out_);
  }
  descriptor_stream in_;
  descriptor_stream out_;
};

}  // namespace detail

duplex_stream::duplex_stream() noexcept = default;
duplex_stream::duplex_stream(descriptor_stream in, descriptor_stream out)
    : joined_(std::make_unique<detail::duplex_object>(std::move(in), std::move(out))) {
  object_ = joined_.get();
}
duplex_stream::duplex_stream(duplex_stream&& other) noexcept
    : byte_stream(std::exchange(other.object_, nullptr)), joined_(std::move(other.joined_)) {}

duplex_stream& duplex_stream::operator=(duplex_stream&& other) noexcept {
  if (this != &other) {
    close();
    object_ = std::exchange(other.object_, nullptr);
    joined_ = std::move(other.joined_);
  }
  return *this;
}

duplex_stream::~duplex_stream() = default;

void duplex_stream::shutdown_send() {
  if (!is_open()) detail::raise(detail::closed_failure());
  joined_->end_sending();
}

void duplex_stream::close() noexcept {
  if (joined_) joined_->close();
}

}  // namespace cosock

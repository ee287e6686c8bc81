// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The side of the engine that faces the transport: the BIO through which OpenSSL reads and writes, what
// is left to write, and the watches. Nothing here throws through OpenSSL.

#include "tls/tls_object.hpp"

#include "core/scoped_value.hpp"

namespace cosock::detail {

namespace {

/// Moves bytes of the transport now. The engine makes sure that no other operation waits there.
class transport_operation final : public stream_operation {
 public:
  transport_operation(kind requested, io_object* const& transport, const void* data,
                      std::size_t size) noexcept
      : stream_operation(requested, transport, data, size) {}
  step run(io_object& transport) noexcept {
    try {
      return transport.transfer(*this);
    } catch (...) {
      failure_ = failure_of(std::current_exception());
      if (!failure_) failure_ = system_code(ENOMEM);
      return step::done;
    }
  }
  const failure& why() const noexcept { return failure_; }
};

}  // namespace

// The watch

void transport_watch::start(io_object& transport, io_direction direction) {
  if (object_ || linked()) return;
  never_cancelled_.loop = transport.loop;
  scope_ = &never_cancelled_;
  wait(&transport, direction, transport.maybe_ready[direction]);
}

void transport_watch::stop() noexcept {
  if (!scope_) return;
  leave();
  unlink();
  scope_->pending = nullptr;
  scope_ = nullptr;
}

void transport_watch::fire() {
  stop();
  engine_.transport_ready(*this);
}

// Bytes

int tls_object::read_transport(char* into, std::size_t size, std::size_t& got) noexcept {
  got = 0;
  if (in_failed_ || transport_ended_) return -1;
  io_object* const stream = below();
  if (!stream) {
    in_failed_ = closed_stream();
    return -1;
  }
  if (messages_ > max_messages) return -1;
  if (reads_left_-- <= 0) {
    pauses_ = true;
    return -1;
  }
  // If the flag is false, the system would answer EAGAIN: the call is saved.
  if (!probes_ && !stream->maybe_ready[reading]) return -1;
  in_watch_.stop();
  transport_operation op(stream_operation::kind::receive, stream_access::object_of(*transport_),
                         into, size);
  if (op.run(*stream) == step::pending) return -1;
  if (op.why()) {
    in_failed_ = op.why();
    return -1;
  }
  got = op.bytes_moved();
  if (got != 0) return 1;
  transport_ended_ = true;
  return -1;
}

int tls_object::write_transport(const char* from, std::size_t size, std::size_t& taken) noexcept {
  taken = 0;
  if (out_.size() - out_begin_ > max_left) return -1;
  taken = size;
  std::size_t sent = 0;
  if (out_.empty()) {
    io_object* const stream = below();
    if (!stream) out_failed_ = closed_stream();
    if (out_failed_) return 1;
    out_watch_.stop();
    transport_operation op(stream_operation::kind::send_some, stream_access::object_of(*transport_),
                           from, size);
    op.run(*stream);
    if (op.why()) {
      out_failed_ = op.why();
      return 1;
    }
    sent = op.bytes_moved();
    if (sent == size) return 1;
  }
  try {
    out_.insert(out_.end(), from + sent, from + size);
  } catch (...) {
    out_failed_ = system_code(ENOMEM);  // a part of the record is lost
    out_.clear();
    out_begin_ = 0;
  }
  return 1;
}

bool tls_object::flush() noexcept {
  while (!out_.empty()) {
    io_object* const stream = below();
    if (!stream && !out_failed_) out_failed_ = closed_stream();
    if (!out_failed_) {
      out_watch_.stop();
      transport_operation op(stream_operation::kind::send_some,
                             stream_access::object_of(*transport_), out_.data() + out_begin_,
                             out_.size() - out_begin_);
      if (op.run(*stream) == step::pending) return false;
      out_failed_ = op.why();
      out_begin_ += op.bytes_moved();
    }
    if (out_failed_ || out_begin_ == out_.size()) {
      out_ = {};  // it exists only while bytes wait
      out_begin_ = 0;
    }
  }
  return true;
}

void tls_object::keep_flushing() noexcept {
  const bool wanted = !out_.empty() || (waiter[writing] && !maybe_ready[writing]);
  io_object* const stream = below();
  if (!wanted || out_watch_.waits() || !stream) return;
  try {
    out_watch_.start(*stream, writing);
  } catch (...) {
    out_failed_ = system_code(ENOMEM);
    ready(writing);
  }
}

void tls_object::transport_ready(transport_watch& watch) noexcept {
  if (!loop) return;
  if (&watch == &in_watch_) {
    maybe_ready[reading] = true;
    // Not by ready(): the operation is tried in this turn, as that of the transport would be.
    io_operation* const op = waiter[reading];
    if (op && !op->linked()) op->fire();
    return;
  }
  if (!flush()) return keep_flushing();
  ready(writing);
  if (std::exchange(waits_for_room_, false)) ready(reading);
}

void tls_object::arm(io_direction direction) {
  if (direction == reading && waits_for_room_) return keep_flushing();
  io_object* const stream = below();
  if (!stream) return waiter[direction]->end_with(closed_stream());
  (direction == reading ? in_watch_ : out_watch_).start(*stream, direction);
}

step tls_object::transfer(stream_operation& op) {
  return op.direction() == reading ? receive(op) : send(op);
}

step tls_object::try_transfer(stream_operation& op) {
  const scoped_value probing(probes_, true);
  return transfer(op);
}

// The BIO

namespace {

tls_object& engine_of(BIO* bio) noexcept { return *static_cast<tls_object*>(BIO_get_data(bio)); }

const BIO_METHOD* transport_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        not_null(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cosock stream"));
    BIO_meth_set_read_ex(made, [](BIO* bio, char* into, std::size_t size, std::size_t* got) {
      BIO_clear_retry_flags(bio);
      const int result = engine_of(bio).read_transport(into, size, *got);
      if (result < 0) BIO_set_retry_read(bio);
      return result < 0 ? 0 : result;
    });
    BIO_meth_set_write_ex(made, [](BIO* bio, const char* from, std::size_t size, std::size_t* n) {
      BIO_clear_retry_flags(bio);
      const int result = engine_of(bio).write_transport(from, size, *n);
      if (result < 0) BIO_set_retry_write(bio);
      return result < 0 ? 0 : result;
    });
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long {
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    });
    return made;
  }();
  return method;
}

}  // namespace

BIO* new_transport_bio(tls_object& engine) {
  BIO* const bio = BIO_new(transport_method());
  if (!bio) return nullptr;
  BIO_set_data(bio, &engine);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace cosock::detail

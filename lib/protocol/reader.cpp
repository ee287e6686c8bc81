// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// buffered_reader: the buffer, and the operations that search it. An operation first looks into the
// buffer, then receives. It takes bytes from the buffer only when it completes, so that a cancelled
// one loses nothing. It does not own the stream.

#include <cosock/reader.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "io/passed_descriptors.hpp"

#include <cosock/detail/size.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace cosock {

namespace {

/// Room for a line that is allocated from the beginning. Longer lines make the buffer grow.
constexpr std::size_t line_room = 64 << 10;

}  // namespace

/// The descriptors of a reader.
class detail::reader_descriptors final : public passed_descriptors {
 public:
  explicit reader_descriptors(std::size_t max_count) noexcept : passed_descriptors(max_count) {}
  std::size_t bytes_of_item(stream_operation& op, std::size_t available) override {
    return static_cast<basic_reader_operation&>(op).bytes_of_item(available);
  }
};

buffered_reader::buffered_reader(byte_stream& from, const buffered_reader_options& options)
    : stream_(from),
      capacity_(options.capacity),
      max_line_(options.max_line),
      unterminated_line_(options.unterminated_line),
      size_(std::max({detail::checked_size("buffered_reader_options::capacity", capacity_, 1),
                      std::min(max_line_, line_room) + 2, detail::max_prefix})),
      object_here_(*this) {
  buffer_.reset(new char[size_]);
  object_ = &object_here_;
  if (options.max_descriptors != 0)
    descriptors_ = std::make_unique<detail::reader_descriptors>(options.max_descriptors);
}

buffered_reader::~buffered_reader() = default;

void buffered_reader::shutdown_send() { stream_.shutdown_send(); }

void buffered_reader::close() noexcept {
  // For streams that go on in the background: finish() has given up the rest.
  detail::io_object* const below = detail::stream_access::object_of(stream_);
  if (below && object_here_.input_ended) below->input_ended = true;
  object_ = nullptr;
  object_here_.end();
  stream_.close();
}

detail::reader_view_operation buffered_reader::read_until(std::string_view delimiter) {
  if (delimiter.empty()) throw std::invalid_argument("cosock: an empty delimiter");
  detail::reader_view_operation op(*this, want::until);
  op.delimiter_ = delimiter;
  return op;
}

std::vector<unique_descriptor> buffered_reader::take_descriptors(std::size_t max_count) {
  if (!descriptors_) return {};
  return descriptors_->take(static_cast<std::ptrdiff_t>(begin_), max_count);
}

namespace detail {

void basic_reader_operation::raise_failure() const {
  const boost::system::error_code code = to_error_code(failure_);
  if (filled_ != 0) throw transfer_error(code, filled_);
  if (code == error::too_many_descriptors)
    raise(failure_, "more than " + counted(limit(), "descriptor"));
  if (const std::size_t bytes = limit()) raise(failure_, "more than " + counted(bytes, "byte"));
  raise(failure_);
}

std::size_t basic_reader_operation::limit() const noexcept {
  const boost::system::error_code code = to_error_code(failure_);
  if (code == error::line_too_long) return reader_.max_line_;
  if (code == error::too_many_descriptors && reader_.descriptors_)
    return reader_.descriptors_->max_count();
  if (code != error::frame_too_long) return 0;
  return want_ == want::frame ? format_.max_size : reader_.capacity_;
}

step basic_reader_operation::start_read(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  io_object* const target = target_;
  if (!may_begin(target, reading)) return complete_or_yield();
  // Also if the buffer has the result: a task that reads many short lines must not starve the
  // others.
  if (!target->loop->take_turn()) return wait(target, reading, true);
  if (satisfied() == step::done) return done();
  const bool may_advance = target->maybe_ready[reading];
  if (may_advance && advance(*target) == step::done) return done();
  parent.loop->has_to_wait();
  return wait(target, reading, target->maybe_ready[reading]);
}

step basic_reader_operation::attempt() {
  return satisfied() == step::done ? step::done : advance(*object_);
}

/// Receives until the operation has ended, would block, or has used up the budget.
step basic_reader_operation::advance(io_object& from) {
  do {
    if (!prepare()) return step::done;
    if (receive(from) == step::pending) return step::pending;
    const std::size_t moved = std::exchange(moved_, 0);
    if (failure_) {  // with bytes, if a message was truncated
      if (is_direct())
        filled_ += moved;
      else
        reader_.end_ += moved;
      return step::done;
    }
    if (received(moved) == step::done) return step::done;
  } while (from.maybe_ready[reading] && --from.loop->budget > 0);
  return step::pending;
}

inline step basic_reader_operation::receive(io_object& from) {
  reader_descriptors* const descriptors = reader_.descriptors_.get();
  if (!descriptors) [[likely]]
    return from.transfer(*this);
  // Bytes that go directly to the caller are consumed: their position is in front of the buffer.
  const auto consumed = static_cast<std::ptrdiff_t>(reader_.begin_);
  descriptors->receive_at(is_direct() ? consumed - 1 : static_cast<std::ptrdiff_t>(reader_.end_));
  return from.transfer_with_descriptors(*this, *descriptors);
}

/// Looks for the item as if the bytes had been received. Nothing is consumed.
std::size_t basic_reader_operation::bytes_of_item(std::size_t available) {
  if (is_direct()) return available;
  const std::size_t begin = reader_.begin_;
  const std::size_t scanned = scanned_;
  const std::size_t filled = filled_;
  reader_.end_ += available;
  const bool complete = satisfied() == step::done;
  reader_.end_ -= available;
  const std::size_t end = std::exchange(reader_.begin_, begin);
  scanned_ = scanned;
  filled_ = filled;
  if (failure_) return 0;
  return complete ? end - reader_.end_ : available;
}

/// Whether bytes go directly to the memory of the caller, past the buffer. They cannot be put back
/// then, so after an error the caller learns their number (transfer_error).
bool basic_reader_operation::is_direct() const noexcept {
  return want_ == want::fill && into_.size() > reader_.capacity_;
}

step basic_reader_operation::received(std::size_t bytes) {
  if (is_direct()) {
    filled_ += bytes;
    if (filled_ == into_.size()) return step::done;
    if (bytes != 0) return step::pending;
    if (filled_ == 0) return ended();
    return refused(own_failure(error::end_of_stream));
  }
  reader_.end_ += bytes;
  if (bytes != 0) return satisfied();
  const std::size_t left = reader_.end_ - reader_.begin_;
  if (left == 0) return ended();
  if (want_ != want::line || !reader_.unterminated_line_)
    return refused(own_failure(error::end_of_stream));
  if (left > reader_.max_line_) return refused(own_failure(error::line_too_long));
  return found(0, left, left);
}

step basic_reader_operation::ended() noexcept {
  end_ = true;
  return step::done;
}

inline step basic_reader_operation::found(std::size_t at, std::size_t size,
                                          std::size_t consumed) noexcept {
  view_ = {reader_.buffer_.get() + reader_.begin_ + at, size};
  reader_.begin_ += consumed;
  return step::done;
}

step basic_reader_operation::refused(failure why) noexcept {
  failure_ = why;
  return step::done;
}

/// Done if the result is in the buffer, or if it can never be.
inline step basic_reader_operation::satisfied() {
  const std::size_t available = reader_.end_ - reader_.begin_;
  switch (want_) {
    case want::line: return find_line();
    case want::skip: return skip_line();
    case want::until: return find_delimiter();
    case want::frame: return find_frame();
    case want::block:
      if (needed_ > reader_.capacity_) return refused(own_failure(error::frame_too_long));
      return available >= needed_ ? found(0, needed_, needed_) : step::pending;
    case want::fill: break;
  }
  // If all bytes fit into the buffer, they stay there until the last one has arrived: a
  // cancellation then loses nothing.
  const std::size_t size = into_.size();
  if (size <= reader_.capacity_ && available < size) return step::pending;
  const std::size_t taken = std::min(size - filled_, available);
  if (taken != 0) {
    std::memcpy(static_cast<char*>(into_.data()) + filled_, reader_.buffer_.get() + reader_.begin_,
                taken);
    reader_.begin_ += taken;
    filled_ += taken;
  }
  return filled_ == size ? step::done : step::pending;
}

inline step basic_reader_operation::find_line() noexcept {
  const char* const line = reader_.buffer_.get() + reader_.begin_;
  const std::size_t available = reader_.end_ - reader_.begin_;
  const std::size_t limit = reader_.max_line_;
  const std::size_t unseen = available - scanned_;  // each byte is searched once
  const void* const lf = unseen == 0 ? nullptr : std::memchr(line + scanned_, '\n', unseen);
  if (!lf) {
    scanned_ = available;
    // One byte more is accepted if it is a CR, which may belong to the line end.
    if (available > limit && (available - limit > 1 || line[limit] != '\r'))
      return refused(own_failure(error::line_too_long));
    needed_ = saturating_sum(limit, 2);
    return step::pending;
  }
  const auto position = static_cast<std::size_t>(static_cast<const char*>(lf) - line);
  const std::size_t size = position != 0 && line[position - 1] == '\r' ? position - 1 : position;
  if (size > limit) return refused(own_failure(error::line_too_long));
  return found(0, size, position + 1);
}

step basic_reader_operation::skip_line() noexcept {
  const std::string_view available = reader_.buffered();
  const std::size_t lf = available.find('\n');
  reader_.begin_ += lf == available.npos ? available.size() : lf + 1;
  return lf != available.npos ? step::done : step::pending;
}

step basic_reader_operation::find_delimiter() noexcept {
  const std::string_view available = reader_.buffered();
  const std::size_t limit = reader_.max_line_;
  const std::size_t position = available.find(delimiter_, scanned_);
  if (position != available.npos && position <= limit)
    return found(0, position, position + delimiter_.size());
  needed_ = saturating_sum(limit, delimiter_.size());
  if (position != available.npos || available.size() >= needed_)
    return refused(own_failure(error::line_too_long));
  // The delimiter may have arrived in part, so its last bytes are searched again.
  if (available.size() >= delimiter_.size()) scanned_ = available.size() - delimiter_.size() + 1;
  return step::pending;
}

inline step basic_reader_operation::find_frame() noexcept {
  const std::string_view available = reader_.buffered();
  const frame_head head = read_prefix(
      format_, reinterpret_cast<const unsigned char*>(available.data()), available.size());
  if (head.why) return refused(head.why);
  if (head.size == 0) return step::pending;
  const auto length = static_cast<std::size_t>(head.length);
  if (available.size() - head.size >= length) return found(head.size, length, head.size + length);
  needed_ = head.size + length;
  return step::pending;
}

/// Sets the memory for the next bytes. False, with a failure, if memory cannot be allocated.
bool basic_reader_operation::prepare() {
  buffered_reader& r = reader_;
  if (is_direct()) {
    memory_ = static_cast<char*>(into_.data()) + filled_;
    size_ = into_.size() - filled_;
    return true;
  }
  const std::size_t available = r.end_ - r.begin_;
  const std::size_t room = r.size_ - r.end_;
  // Moves the bytes to the front if that is cheap for the room that it makes, or if there is no
  // other room.
  if (r.begin_ != 0 &&
      (available == 0 || room == 0 || (room < r.size_ / 4 && available <= r.begin_))) {
    std::memmove(r.buffer_.get(), r.buffer_.get() + r.begin_, available);
    if (r.descriptors_) r.descriptors_->shift(r.begin_);
    r.begin_ = 0;
    r.end_ = available;
  } else if (room == 0) {
    // Grows with the bytes that have arrived, not with the length that the peer has announced: a
    // peer must not make the process allocate by a number alone.
    const std::size_t twice = saturating_sum(r.size_, r.size_);
    const std::size_t size = std::max(r.size_ + 1, std::min(twice, needed_));
    // nothrow: an exception in attempt() would leave the loop.
    std::unique_ptr<char[]> larger(new (std::nothrow) char[size]);
    if (!larger) {
      refused(system_failure(ENOMEM));
      return false;
    }
    std::memcpy(larger.get(), r.buffer_.get(), available);
    r.buffer_ = std::move(larger);
    r.size_ = size;
  }
  memory_ = r.buffer_.get() + r.end_;
  size_ = r.size_ - r.end_;
  return true;
}

reader_object::reader_object(buffered_reader& reader) noexcept : reader_(reader) {
  if (const io_object* const stream = below(reading)) {
    loop = stream->loop;
    keeps_messages = stream->keeps_messages;
    needs_close_notify = stream->needs_close_notify;
    input_ended = stream->input_ended;
  }
}

io_object* reader_object::below(io_direction) const noexcept {
  return stream_access::object_of(reader_.stream_);
}

/// Moves bytes of the buffer to the memory of the operation.
step reader_object::take(stream_operation& op) noexcept {
  std::array<piece, 64> pieces;
  std::size_t count = 1;
  if (op.contiguous())
    pieces[0] = {op.data(), op.left()};
  else
    count = op.pieces(pieces.data(), pieces.size());
  std::size_t taken = 0;
  for (std::size_t i = 0; i != count; ++i) {
    const std::size_t n = std::min(pieces[i].size, reader_.end_ - reader_.begin_);
    std::memcpy(pieces[i].data, reader_.buffer_.get() + reader_.begin_, n);
    reader_.begin_ += n;
    taken += n;
  }
  return op.moved(taken);
}

/// Done with bytes of the buffer, or with a failure. Pending: the stream below has to go on.
step reader_object::take_buffered(stream_operation& op) noexcept {
  if (op.direction() != reading) return step::pending;
  const io_object* const stream = below(reading);
  // A pending read_line() has a claim to these bytes.
  const bool may_take =
      reader_.begin_ != reader_.end_ && stream && stream->loop && !stream->waiter[reading];
  if (may_take && take(op) == step::done) return step::done;
  if (!reader_.descriptors_) return step::pending;
  const failure lost = reader_.descriptors_->lost();
  return lost ? op.failed(lost) : step::pending;
}

step reader_object::transfer(stream_operation& op) {
  return take_buffered(op) == step::done ? step::done : forwarding_object::transfer(op);
}

step reader_object::transfer_with_descriptors(stream_operation& op, passed_descriptors& passed) {
  return take_buffered(op) == step::done ? step::done
                                         : forwarding_object::transfer_with_descriptors(op, passed);
}

bool reader_object::is_ready(io_direction direction) noexcept {
  return (direction == reading && reader_.begin_ != reader_.end_) ||
         forwarding_object::is_ready(direction);
}

}  // namespace detail
}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/scripted.hpp>

#include <cosock/detail/timer.hpp>

#include "testing/literal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

struct script_step {
  enum class kind { expect, expect_end, send, wait, end, fail };
  kind what;
  std::string bytes = {};
  std::int64_t time = 0;
  boost::system::error_code error = {};
};

namespace {

using boost::system::error_code;
using kind = script_step::kind;

error_code system_error(int code) { return {code, boost::system::system_category()}; }

std::string described(const script_step& step) {
  switch (step.what) {
    case kind::expect: return "expect " + as_literal(step.bytes);
    case kind::expect_end: return "expect the end";
    case kind::send: return "send " + as_literal(step.bytes);
    case kind::wait: return "wait";
    case kind::end: return "end";
    case kind::fail: return "fail";
  }
  return {};
}

}  // namespace

/// Plays the steps of a scripted stream. `next_` is the step that is played; receives follow behind it,
/// over the steps that have been played.
class script_player final : cosock::detail::timer {
 public:
  script_player(scripted& stream, script&& steps)
      : stream_(stream), steps_(std::move(steps.steps_)) {}

  static void add(script& to, script_step step) {
    for (const script_step& before : to.steps_)
      if (before.what == kind::fail)
        throw std::logic_error("script: no step follows fail(), which ends the connection");
      else if (before.what == kind::end && (step.what == kind::send || step.what == kind::end))
        throw std::logic_error(
            "script: after end() the peer sends nothing, and does not end again");
      else if (before.what == kind::expect_end &&
               (step.what == kind::expect || step.what == kind::expect_end))
        throw std::logic_error("script: after expect_end() no bytes and no end can follow");
    to.steps_.push_back(std::move(step));
  }

  /// Plays the steps that need nothing from the code under test.
  void play() noexcept {
    for (; next_ != steps_.size(); ++next_) {
      const script_step& step = steps_[next_];
      if (step.what == kind::expect || step.what == kind::expect_end) {
        if (step.what == kind::expect_end && sender_ended_) continue;
        break;
      }
      if (step.what == kind::wait && !waited_) {
        if (step.time <= 0) continue;
        const auto& loop = *stream_.object_->loop;
        start_timer(*stream_.object_->loop,
                    cosock::detail::later(cosock::detail::current_time(loop), step.time));
        break;
      }
      waited_ = false;
      if (step.what == kind::fail) failed_ = step.error;
    }
    stream_.notify_readable();
    stream_.notify_writable();
  }

  std::size_t receive(std::span<const mutable_buffer> into, error_code& code) noexcept {
    for (; received_ != next_; ++received_, offset_ = 0) {
      const script_step& step = steps_[received_];
      if (step.what == kind::end) return 0;
      if (step.what == kind::fail) {
        code = step.error;
        return 0;
      }
      if (step.what != kind::send || offset_ == step.bytes.size()) continue;
      std::size_t received = 0;
      for (const mutable_buffer& buffer : into) {
        const std::size_t n = std::min(buffer.size(), step.bytes.size() - offset_);
        std::memcpy(buffer.data(), step.bytes.data() + offset_, n);
        offset_ += n;
        received += n;
      }
      return received;
    }
    code = has_mismatch_ ? system_error(EPROTO) : system_error(EAGAIN);
    return 0;
  }

  std::size_t send(std::span<const const_buffer> from, error_code& code) noexcept {
    if (failed_ || has_mismatch_) {
      code = has_mismatch_ ? system_error(EPROTO) : failed_;
      return 0;
    }
    if (next_ != steps_.size() && steps_[next_].what == kind::wait) {
      code = system_error(EAGAIN);
      return 0;
    }
    if (next_ == steps_.size() || steps_[next_].what != kind::expect) {
      refuse(from, 0);
      code = system_error(EPROTO);
      return 0;
    }
    const std::string& expected = steps_[next_].bytes;
    std::size_t sent = 0;
    for (const const_buffer& buffer : from) {
      const std::size_t n = std::min(buffer.size(), expected.size() - matched_);
      if (std::memcmp(buffer.data(), expected.data() + matched_, n) != 0) {
        refuse(from, sent);
        code = system_error(EPROTO);
        return 0;
      }
      matched_ += n;
      sent += n;
    }
    if (matched_ == expected.size()) {
      matched_ = 0;
      ++next_;
      play();
    }
    return sent;
  }

  void end_sending() noexcept {
    if (std::exchange(sender_ended_, true) || failed_ || has_mismatch_) return;
    if (next_ == steps_.size()) return;
    if (steps_[next_].what == kind::expect_end)
      play();
    else if (steps_[next_].what == kind::expect)
      mismatch("came the end");
  }
  void close() noexcept {
    stop_timer();
    if (next_ != steps_.size() && steps_[next_].what == kind::expect_end) {
      sender_ended_ = true;
      play();
    }
  }

  bool can_receive() const noexcept {
    if (has_mismatch_) return true;
    for (std::size_t i = received_; i != next_; ++i) {
      const script_step& step = steps_[i];
      if (step.what == kind::end || step.what == kind::fail) return true;
      if (step.what == kind::send && (i != received_ || offset_ != step.bytes.size())) return true;
    }
    return false;
  }
  bool can_send() const noexcept {
    return has_mismatch_ || next_ == steps_.size() || steps_[next_].what != kind::wait;
  }

  void check() {
    reported_ = true;
    if (has_mismatch_) throw script_error(text_);
    if (next_ == steps_.size()) return;
    std::string why = "the script was not played to its end: " + where() + " was not reached";
    if (matched_ != 0)
      why += "; came " + as_literal(std::string_view(steps_[next_].bytes).substr(0, matched_));
    throw script_error(why);
  }
  const std::string& text() const noexcept { return text_; }
  bool is_played() const noexcept { return next_ == steps_.size() && !has_mismatch_; }
  void report() noexcept {
    if (has_mismatch_ && !reported_) std::fprintf(stderr, "cosock: %s\n", text_.c_str());
  }

 private:
  void expire() noexcept override {
    waited_ = true;
    play();
  }

  std::string where() const {
    return "step " + std::to_string(next_ + 1) + " of " + std::to_string(steps_.size()) + " (" +
           described(steps_[next_]) + ')';
  }

  /// Bytes that do not match. `sent`: those of this send that did, in buffers before.
  void refuse(std::span<const const_buffer> from, std::size_t sent) noexcept try {
    std::string came;
    if (next_ != steps_.size()) came.assign(steps_[next_].bytes, 0, matched_ - sent);
    for (const const_buffer& buffer : from)
      came.append(static_cast<const char*>(buffer.data()), buffer.size());
    mismatch("came " + as_literal(came));
  } catch (...) {
    has_mismatch_ = true;
  }
  void mismatch(std::string came) noexcept {
    has_mismatch_ = true;
    try {
      text_ =
          "the script does not match at " +
          (next_ == steps_.size() ? std::string("its end, where nothing is expected") : where()) +
          ": " + came;
    } catch (...) {
      // Without memory the mismatch has no text.
    }
    stream_.notify_readable();
    stream_.notify_writable();
  }

  scripted& stream_;
  const std::vector<script_step> steps_;
  std::size_t next_ = 0;
  std::size_t matched_ = 0;  // bytes of the expected ones that have come
  std::size_t received_ = 0;
  std::size_t offset_ = 0;  // bytes of the step `received_` that were received
  bool waited_ = false;
  bool sender_ended_ = false;
  bool has_mismatch_ = false;
  bool reported_ = false;
  error_code failed_;
  std::string text_;
};

}  // namespace detail

using detail::kind;
using detail::script_player;

script::script() = default;
script::script(const script&) = default;
script::script(script&&) noexcept = default;
script& script::operator=(const script&) = default;
script& script::operator=(script&&) noexcept = default;
script::~script() = default;

script& script::expect(std::string bytes) {
  if (bytes.empty()) throw std::logic_error("script: expect() needs at least one byte");
  script_player::add(*this, {.what = kind::expect, .bytes = std::move(bytes)});
  return *this;
}
script& script::expect_end() {
  script_player::add(*this, {.what = kind::expect_end});
  return *this;
}
script& script::send(std::string bytes) {
  if (bytes.empty())
    throw std::logic_error("script: send() needs at least one byte; end() ends the stream");
  script_player::add(*this, {.what = kind::send, .bytes = std::move(bytes)});
  return *this;
}
script& script::wait(time_span time) {
  script_player::add(*this, {.what = kind::wait, .time = time.count()});
  return *this;
}
script& script::end() {
  script_player::add(*this, {.what = kind::end});
  return *this;
}
script& script::fail(boost::system::error_code error) {
  if (!error) throw std::logic_error("script: fail() needs an error code, not success");
  script_player::add(*this, {.what = kind::fail, .error = error});
  return *this;
}

scripted::scripted(script steps)
    : player_(std::make_unique<script_player>(*this, std::move(steps))) {
  player_->play();
}
scripted::~scripted() { player_->report(); }

void scripted::require_played() { player_->check(); }
const std::string& scripted::mismatch() const noexcept { return player_->text(); }
bool scripted::is_played() const noexcept { return player_->is_played(); }

std::size_t scripted::do_receive(std::span<const mutable_buffer> into,
                                 boost::system::error_code& error) noexcept {
  return player_->receive(into, error);
}
std::size_t scripted::do_send(std::span<const const_buffer> from,
                              boost::system::error_code& error) noexcept {
  return player_->send(from, error);
}
void scripted::do_shutdown_send(boost::system::error_code&) noexcept { player_->end_sending(); }
bool scripted::can_receive() noexcept { return player_->can_receive(); }
bool scripted::can_send() noexcept { return player_->can_send(); }
void scripted::on_close() noexcept { player_->close(); }

}  // namespace cosock::testing

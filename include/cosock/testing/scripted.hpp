// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/custom_stream.hpp>
#include <cosock/duration.hpp>

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace cosock::testing {

namespace detail {
class script_player;
struct script_step;
}  // namespace detail

/// The steps of a peer: `script().expect("HELO me\r\n").send("250 ok\r\n").end()`. Each function adds a
/// step, and returns the script. Throws std::logic_error for an empty text, and for a step that cannot
/// follow the ones before.
class COSOCK_API script {
 public:
  script();
  script(const script&);
  script(script&&) noexcept;
  script& operator=(const script&);
  script& operator=(script&&) noexcept;
  ~script();

  /// Waits until the code under test has sent these bytes, in any number of sends.
  script& expect(std::string bytes);
  /// Waits until the code under test has called shutdown_send(), finish() or close().
  script& expect_end();
  /// Sends these bytes, which one receive returns if its buffer is large enough. Does not wait for the
  /// receive.
  script& send(std::string bytes);
  /// Waits for this time, by the clock of the loop. Zero or less: does not wait.
  script& wait(time_span time);
  /// Ends the sending direction of the peer: after the bytes of the peer, receive() returns 0.
  script& end();
  /// Fails the connection with this error: sends fail at once, and receives after the bytes of the peer.
  /// Must be the last step.
  script& fail(boost::system::error_code error);

 private:
  friend class detail::script_player;
  std::vector<detail::script_step> steps_;
};

/// Thrown if the code under test does not follow the script. what() contains the step, the expected bytes
/// and the bytes that were sent.
class script_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A stream whose peer plays a script. The code under test uses it as any byte_stream; the test calls
/// require_played() at its end.
///
/// The script begins when the stream is made. While it is in wait(), sends of the code under test wait too.
/// Bytes that differ from expect(), or that are sent after the last step, are a mismatch: the send fails
/// with errc::protocol_error, and so do all later operations, after the bytes of the peer are received.
///
/// Belongs to one loop. Not movable.
class COSOCK_API scripted final : public custom_stream {
 public:
  /// Makes a stream on the running loop. Throws std::logic_error if no loop runs on this thread.
  explicit scripted(script steps);
  scripted(const scripted&) = delete;
  scripted& operator=(const scripted&) = delete;
  /// Prints a mismatch to standard error if require_played() was not called after it.
  ~scripted() override;

  /// Throws script_error if there was a mismatch, or if some steps have not been played.
  void require_played();
  /// The description of the mismatch; empty if there was no mismatch.
  [[nodiscard]] const std::string& mismatch() const noexcept;
  /// Whether all steps have been played. Bytes of the peer may still wait to be received.
  [[nodiscard]] bool is_played() const noexcept;

 private:
  friend class detail::script_player;
  std::size_t do_receive(std::span<const mutable_buffer> into,
                         boost::system::error_code& error) noexcept override;
  std::size_t do_send(std::span<const const_buffer> from,
                      boost::system::error_code& error) noexcept override;
  void do_shutdown_send(boost::system::error_code& error) noexcept override;
  bool can_receive() noexcept override;
  bool can_send() noexcept override;
  void on_close() noexcept override;

  std::unique_ptr<detail::script_player> player_;
};

}  // namespace cosock::testing

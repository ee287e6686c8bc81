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

/// The steps of a peer: `script().expect("HELO me\r\n").send("250 ok\r\n").end()`. Each function
/// adds a step, and returns the script. Throws std::logic_error for a step that cannot follow.
class COSOCK_API script {
 public:
  script();
  script(const script&);
  script(script&&) noexcept;
  script& operator=(const script&);
  script& operator=(script&&) noexcept;
  ~script();

  /// Waits until the code under test has sent these bytes, at least one, in any number of sends.
  script& expect(std::string bytes);
  /// Waits until the code under test has ended its direction: shutdown_send(), finish() or close().
  script& expect_end();
  /// Sends these bytes, which one receive returns if its buffer is large enough, and continues at once.
  script& send(std::string bytes);
  /// Waits, by the clock of the loop. Zero or less: not at all.
  script& wait(time_span time);
  /// Ends the direction of the peer: behind all bytes that it has sent, receive() returns 0.
  script& end();
  /// Fails the connection: sends from now on and receives behind all bytes of the peer end with this
  /// error. The last step.
  script& fail(boost::system::error_code error);

 private:
  friend class detail::script_player;
  std::vector<detail::script_step> steps_;
};

/// The code under test has not done what the script says. what() has the step, what was expected and what
/// came.
class script_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A stream whose peer plays a script. The code under test uses it as any byte_stream; the test calls
/// require_played() at its end.
///
/// The script begins when the stream is made. While it waits, sends of the code under test wait too.
/// Bytes that differ from those of expect(), or come when the script is at its end, are a mismatch: the
/// send fails with errc::protocol_error, and so do all later operations.
///
/// Belongs to one loop, and stays where it is.
class COSOCK_API scripted final : public custom_stream {
 public:
  /// On the running loop. Throws std::logic_error if no loop runs on this thread.
  explicit scripted(script steps);
  scripted(const scripted&) = delete;
  scripted& operator=(const scripted&) = delete;
  /// Prints a mismatch to standard error if require_played() was not called after it.
  ~scripted() override;

  /// Throws script_error if there was a mismatch, or if the script has not been played to its end.
  void require_played();
  /// The text of the mismatch; empty if there was none.
  [[nodiscard]] const std::string& mismatch() const noexcept;
  /// Whether all steps have been played. What the peer has sent may be left to receive.
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

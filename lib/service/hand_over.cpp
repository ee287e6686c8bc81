// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// hand_over(): what the new process finds in its environment, and the wait for the moment when it is
// ready, has ended, or has had its time. The process itself is new_process.cpp.

#include <cosock/hand_over.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "io/descriptor.hpp"
#include "service/environment.hpp"
#include "service/new_process.hpp"

#include <cosock/cancel.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/local_datagram.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace cosock {

using detail::in_quotes;
using detail::new_process;
using detail::system_failure;

namespace detail {

/// One hand-over. It owns the new process until that is ready.
class hand_over_run {
 public:
  hand_over_run(const std::vector<std::string>& arguments, const passed_sockets& sockets)
      : sockets_(sockets),
        program_(arguments[0]),
        channel_(local_endpoint(), {.receive_credentials = true}),
        child_(arguments, environment(), numbers()) {}

  task<int> run(time_span limit);

 private:
  std::vector<std::string> environment() const;
  std::vector<int> numbers() const;
  task<> ready();
  task<> end();
  task<> ready_or_ended();

  const passed_sockets& sockets_;
  std::string program_;
  local_datagram_socket channel_;  // where the new process says that it is ready
  new_process child_;              // after the channel: it knows its name
};

/// The environment of this process, with what the new one needs to know.
std::vector<std::string> hand_over_run::environment() const {
  std::string names;
  for (const auto& each : sockets_.sockets_) names += (names.empty() ? "" : ":") + each.name;
  const char* const watched = std::getenv("WATCHDOG_PID");
  const bool is_watched =
      watched && parse_unsigned(watched) == static_cast<std::uint64_t>(getpid());
  std::vector<std::string> made = {
      "LISTEN_FDS=" + std::to_string(sockets_.size()), "LISTEN_FDNAMES=" + names,
      "LISTEN_PID=", "NOTIFY_SOCKET=" + channel_.local_endpoint().to_string(),
      std::string(manager_variable) + "=" + manager_socket()};
  if (is_watched) made.push_back("WATCHDOG_PID=");

  std::vector<std::string_view> replaced(std::begin(listen_variables), std::end(listen_variables));
  replaced.insert(replaced.end(), {"NOTIFY_SOCKET", manager_variable});
  if (is_watched) replaced.push_back("WATCHDOG_PID");
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (std::find(replaced.begin(), replaced.end(), name) == replaced.end())
      made.emplace_back(text);
  }
  return made;
}

std::vector<int> hand_over_run::numbers() const {
  std::vector<int> all;
  for (const auto& each : sockets_.sockets_) all.push_back(each.socket.get());
  return all;
}

/// Waits for READY=1 of the new process. Every local process can send to the socket, so the sender is
/// checked.
task<> hand_over_run::ready() {
  char buffer[4096];
  for (;;) {
    packet_info info;
    const auto got = co_await channel_.receive_from(buffer, info);
    if (!info.credentials || info.credentials->pid != child_.id()) continue;
    std::string_view rest(buffer, got.size);
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      if (rest.substr(0, end) == "READY=1") co_return;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

/// Waits for the end of the new process.
task<> hand_over_run::end() {
  if (child_.end_descriptor().is_open()) {
    auto watched = descriptor_stream::adopt(child_.end_descriptor().release());
    while (!child_.has_ended()) co_await watched.wait_readable();
  } else {
    while (!child_.has_ended()) co_await sleep_for(std::chrono::milliseconds(20));
  }
}

task<> hand_over_run::ready_or_ended() {
  co_await when_any(ready(), end());
  // It may have said that it is ready, and ended then.
  if (child_.has_ended())
    raise_as(system_failure(ECHILD), "the new process, " + in_quotes(program_) + ", " +
                                         child_.how_it_ended() + " before it was ready");
}

task<int> hand_over_run::run(time_span limit) {
  const auto became_ready = co_await as_result(with_timeout(limit, ready_or_ended()));
  if (!became_ready) {
    const auto& e = became_ready.error();
    if (e == error::timed_out)
      raise_as(own_failure(error::timed_out),
               "the new process, " + in_quotes(program_) + ", was not ready: " + error_message(e));
    std::rethrow_exception(e.exception());
  }
  send_notification(manager_socket(), "MAINPID=" + std::to_string(child_.id()) + "\nREADY=1", true);
  for (const auto& each : sockets_.sockets_)
    if (each.file) each.file->forget();
  const int id = child_.id();
  child_.leave_alone();
  co_return id;
}

}  // namespace detail

task<int> hand_over(std::vector<std::string> arguments, const passed_sockets& sockets,
                    hand_over_options options) {
  const auto refuse = [](const std::string& text) {
    detail::raise(system_failure(EINVAL), "hand_over: " + text);
  };
  if (arguments.empty()) refuse("no arguments; accepted: the program, and its arguments");
  for (const std::string& each : arguments)
    if (each.find('\0') != each.npos) refuse("an argument contains a NUL: " + in_quotes(each));
  if (sockets.size() == 0) refuse("no sockets; accepted: 1 or more");
  detail::hand_over_run all(arguments, sockets);
  co_return co_await all.run(options.ready_timeout);
}

}  // namespace cosock

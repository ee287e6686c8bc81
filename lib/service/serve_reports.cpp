// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// What serve() tells of its connections: errors with their peers, within the limit of reports, and the
// names of handlers in a dump.

#include <cosock/serve.hpp>

#include "core/failure.hpp"
#include "core/print.hpp"
#include "core/scheduler.hpp"
#include "core/text.hpp"
#include "io/descriptor.hpp"

#include <sys/socket.h>

#include <stdexcept>
#include <string>

namespace cosock {

void error_observer::operator()(const std::exception_ptr& error, std::string_view source) const {
  if (*this)
    observer::operator()(error, source);
  else
    detail::print_error(error, source);
}

namespace detail {

namespace {

/// The process at the other end of a local connection that is still open.
std::string local_peer(const detail::kept_io_object& kept) {
  const auto* const connection = dynamic_cast<const detail::descriptor*>(kept.current());
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (!connection ||
      detail::system::getsockopt(connection->fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.pid == 0)
    return "an unknown peer";
  return "process " + std::to_string(peer.pid) + " of user " + std::to_string(peer.uid);
}

}  // namespace

void peer_scope::describe(wait_report& to) const {
  const std::string name =
      peer_.address ? peer_.address->to_string() : local_peer(*peer_.connection);
  to.name(name.data(), name.size());
  to.scope(inner_);
}

/// Memory for the text of a source may be missing: the error is reported without it.
void serve_state::handler_failed(const endpoint* peer, const kept_io_object& kept) noexcept {
  const std::exception_ptr e = std::current_exception();
  if (is_cancelled(failure_of(e))) {
    if (connections_.is_cancelled()) ++handle_.counters_.cut;
    return;
  }
  ++handle_.counters_.failed;
  std::string source;
  try {
    source = peer ? peer->to_string() : local_peer(kept);
    if (const std::string* const client = kept.client()) source = *client + " through " + source;
    source = "connection from " + source;
  } catch (...) {
    source.clear();
  }
  report(e, source);
}

/// The limit keeps a peer from flooding a log by connections that fail.
void serve_state::report(const std::exception_ptr& e, std::string_view source) noexcept {
  if (options_.max_reports) {
    const std::int64_t now = current_time();
    if (second_ == 0 || now - second_ >= 1'000'000'000) {
      second_ = now;
      reports_ = 0;
    }
    if (reports_ >= *options_.max_reports) {
      ++left_out_;
      ++handle_.counters_.unreported;
      return;
    }
    report_rest();
    ++reports_;
  }
  options_.on_error(e, source);
}

/// Reports the number of errors that were suppressed.
void serve_state::report_rest() noexcept {
  if (left_out_ == 0 || options_.max_reports == 0u) return;
  std::exception_ptr sum;
  try {
    throw std::runtime_error("errors of connections that were not reported: " +
                             std::to_string(std::exchange(left_out_, 0)));
  } catch (...) {
    sum = std::current_exception();
  }
  options_.on_error(sum);
}

/// Reports that the drain time was too short for some.
void serve_state::report_cut() noexcept {
  const std::uint64_t n = handle_.counters_.cut;
  try {
    raise_as(own_failure(error::timed_out),
             "drain: " + counted(n, "connection") + (n == 1 ? " was cut: " : " were cut: ") +
                 text_of(passed_limit::of_duration(options_.drain.count())));
  } catch (...) {
    report(std::current_exception());
  }
}

/// For a catch block around accept(). Reports each error number once: it may occur at each attempt.
void serve_state::accept_failed(int error) noexcept {
  ++handle_.counters_.accept_errors;
  const auto number = static_cast<std::size_t>(error);
  if (number < reported_.size() && reported_[number]) return;
  if (number < reported_.size()) reported_[number] = true;
  std::exception_ptr e = std::current_exception();
  try {
    raise(system_failure(error), "accept");
  } catch (const boost::system::system_error&) {
    e = std::current_exception();
  } catch (...) {
    // No memory for the text: the original exception is reported.
  }
  report(e);
}

}  // namespace detail
}  // namespace cosock

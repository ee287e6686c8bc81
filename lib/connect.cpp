// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/connect.hpp>

#include "detail/checkpoint.hpp"
#include "detail/descriptor.hpp"
#include "detail/system.hpp"
#include "detail/text.hpp"

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reconnect.hpp>
#include <cosock/time.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace cosock {

using boost::system::error_code;

namespace {

/// An endpoint, and where from, as messages name it.
std::string way_to(const endpoint& to, const connect_options& options) {
  return options.local ? to.to_string() + " from " + options.local->to_string() : to.to_string();
}

}  // namespace

namespace detail {

namespace {

/// A new socket, set up as the options say; none, and an errno in `failed`, where that cannot be.
unique_descriptor open_socket(const endpoint& to, const connect_options& options,
                              int& failed) noexcept {
  const int domain = to.address().is_v6() ? AF_INET6 : AF_INET;
  auto socket = unique_descriptor::adopt(
      ::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  bool good = socket.get() >= 0;
  const auto set = [&](int level, int name, int value) {
    return ::setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
  };
  if (options.no_delay) good = good && set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.receive_buffer)
    good = good && set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  if (options.send_buffer) good = good && set(SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  if (options.local) {
    good = good && set(SOL_SOCKET, SO_REUSEADDR, 1);
    // Without it each connection takes a port that no other one may have, wherever it leads.
    if (good && options.local->port() == 0) set(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    system_address name(*options.local);
    good = good && ::bind(socket.get(), name.get(), name.size) == 0;
  }
  failed = good ? 0 : errno;
  if (!good) return {};
  if (options.fast_open) set(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);  // where there is one
  return socket;
}

}  // namespace

bool connect_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  int error = 0;
  unique_descriptor socket = open_socket(to_, options_, error);
  if (error) return give_up(error);
  system_address name(to_);
  const bool at_once = ::connect(socket.get(), name.get(), name.size) == 0;
  if (!at_once && errno != EINPROGRESS && errno != EINTR) return give_up(errno);
  connected_ = tcp_socket(
      descriptor::open(engine::of(*where.on), socket.release(), medium::tcp, false));
  connected_.of()->hint[writing] = at_once;
  return launch(connected_.of(), writing);
}

bool connect_operation::attempt() {
  if (!on_->is_ready(writing)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(connected_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  // A connect to a port of this machine's own that nobody listens on can meet itself (both ends send
  // a SYN from and to the same port).
  system_address local;
  system_address remote;
  if (!error && ::getsockname(connected_.native_handle(), local.get(), &local.size) == 0 &&
      ::getpeername(connected_.native_handle(), remote.get(), &remote.size) == 0 &&
      local.to_endpoint() == remote.to_endpoint()) {
    error = ECONNREFUSED;
    connected_.set_linger(0);  // or the port would be kept for a minute
  }
  if (error) failure_ = system_failure(error);
  return true;
}

/// Ends before there was anything to wait for. That counts as an operation that completed at once:
/// somebody may be trying again and again.
bool connect_operation::give_up(int error) noexcept {
  failure_ = system_failure(error);
  if (scope_->on->budget > 0) {
    --scope_->on->budget;
    return false;
  }
  suspend();
  engine::of(*scope_->on).make_ready_later(*this);
  return true;
}

tcp_socket connect_operation::result() {
  if (!failure_) return std::move(connected_);
  connected_.close();
  if (is_cancelled(failure_)) raise(failure_);
  detail::raise(failure_, way_to(to_, options_));
}

}  // namespace detail

namespace {

using detail::own_failure;
using detail::raise_as;

/// Makes address families take turns, the first one first (RFC 8305, section 4).
std::vector<endpoint> interleaved(const std::vector<endpoint>& all) {
  std::vector<endpoint> of[2];
  for (const endpoint& each : all)
    of[each.address().is_v6() == all.front().address().is_v6() ? 0 : 1].push_back(each);
  std::vector<endpoint> mixed;
  for (std::size_t i = 0; mixed.size() != all.size(); ++i)
    for (const auto& same : of)
      if (i < same.size()) mixed.push_back(same[i]);
  return mixed;
}

/// Everything about one connect() to several endpoints: the attempts, side by side, and what came of
/// them.
class race {
 public:
  race(std::string to, const connect_options& options) : to_(std::move(to)), options_(options) {}

  /// Tries them all, and gives the first connection.
  task<tcp_socket> run(std::vector<endpoint> to);

  [[noreturn]] void raise_timed_out() const {
    const char* const why = candidates_ ? ": the time limit has passed"
                                        : ": the time limit has passed during the look-up";
    raise_as(own_failure(error::timed_out), cannot_connect() + why + list());
  }

 private:
  struct attempt {
    endpoint to;
    std::optional<error_code> failure;  // none yet
  };

  task<> try_all(nursery& attempts, const std::vector<endpoint>& to);
  task<> try_one(std::size_t which);

  std::string cannot_connect() const {
    return to_.empty() ? "cannot connect" : "cannot connect to " + to_;
  }
  /// Every attempt and what came of it.
  std::string list() const {
    std::string text;
    for (const attempt& each : begun_) {
      text += &each == &begun_.front() ? ": " : "; ";
      if (const std::string way = way_to(each.to, options_); begun_.size() > 1 || way != to_)
        text += way + ": ";
      text += each.failure ? each.failure->message() : "no answer";
    }
    return text;
  }

  std::string to_;  // as the caller put it, or empty
  const connect_options& options_;
  std::size_t candidates_ = 0;
  std::vector<attempt> begun_;
  std::optional<error_code> first_failure_;  // that may pass, if there is one
  nursery* attempts_ = nullptr;
  std::optional<cancel_scope> pause_;  // before the next attempt; a failure ends it
  tcp_socket winner_;
};

task<tcp_socket> race::run(std::vector<endpoint> to) {
  candidates_ = to.size();
  co_await detail::checkpoint();
  if (to.empty())
    raise_as(own_failure(error::host_not_found), cannot_connect() + ": there is no address to try");
  std::erase_if(to, [this](const endpoint& each) {
    const bool v6 = each.address().is_v6();
    return (options_.family != family::any && v6 != (options_.family == family::v6)) ||
           (options_.local && v6 != options_.local->address().is_v6());
  });
  if (to.empty())
    raise_as(own_failure(error::host_not_found),
             cannot_connect() + ": there is no address of the wanted family");
  to = interleaved(to);
  co_await with_nursery([this, &to](nursery& in) { return try_all(in, to); });
  if (winner_.is_open()) co_return std::move(winner_);
  raise_as(detail::to_failure(*first_failure_), cannot_connect() + list());
}

task<> race::try_all(nursery& attempts, const std::vector<endpoint>& to) {
  attempts_ = &attempts;
  begun_.reserve(to.size());
  for (const endpoint& each : to) {
    begun_.push_back({each, {}});
    attempts.start([this](std::size_t which) { return try_one(which); }, begun_.size() - 1);
    if (begun_.size() == to.size()) break;
    pause_.emplace();
    (void)co_await as_result(pause_->run(sleep_for(options_.attempt_delay)));
    if (attempts.is_cancelled()) detail::raise(detail::cancelled_failure());
  }
}

task<> race::try_one(std::size_t which) {
  auto result = co_await as_result(connect(begun_[which].to, options_));
  if (result.has_value()) {
    if (!winner_.is_open()) winner_ = std::move(*result);
    attempts_->cancel_all();
    co_return;
  }
  if (result.error() == error::cancelled) detail::raise(detail::cancelled_failure());
  begun_[which].failure = result.error();
  // That there is no IPv6, say, is not what a later attempt should be judged by.
  if (!first_failure_ || (is_permanent(*first_failure_) && !is_permanent(result.error())))
    first_failure_ = result.error();
  if (pause_) pause_->cancel();
}

task<tcp_socket> look_up_and_run(race& r, std::string host, std::string service, family wanted) {
  std::vector<endpoint> to =
      co_await resolve(std::move(host), std::move(service), {.family = wanted});
  co_return co_await r.run(std::move(to));
}

}  // namespace

task<tcp_socket> connect(std::string host, std::string service, connect_options options) {
  std::string name = detail::printable(host);
  if (host.find(':') != host.npos) name = '[' + name + ']';
  race r(name + ':' + detail::printable(service), options);
  family wanted = options.family;
  if (options.local && wanted == family::any)
    wanted = options.local->address().is_v6() ? family::v6 : family::v4;
  try {
    co_return co_await with_timeout(
        options.timeout, look_up_and_run(r, std::move(host), std::move(service), wanted));
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::timed_out) throw;
  }
  r.raise_timed_out();
}

task<tcp_socket> connect(std::string host, std::uint16_t port, connect_options options) {
  return connect(std::move(host), std::to_string(port), options);
}

task<tcp_socket> connect(std::vector<endpoint> to, connect_options options) {
  race r({}, options);
  try {
    co_return co_await with_timeout(options.timeout, r.run(std::move(to)));
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::timed_out) throw;
  }
  r.raise_timed_out();
}

}  // namespace cosock

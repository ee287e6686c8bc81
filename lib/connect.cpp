// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/connect.hpp>

#include "detail/descriptor.hpp"
#include "detail/system.hpp"

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/time.hpp>

#include <netinet/tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <deque>

namespace cosock {

namespace detail {

namespace {

/// A new socket, set up as the options say; throws with an errno in `failed`.
int open_socket(const endpoint& to, const connect_options& options, int& failed) noexcept {
  const int domain = to.address().is_v6() ? AF_INET6 : AF_INET;
  owned_descriptor socket(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  bool good = socket.get() >= 0;
  const auto set = [&](int level, int name, int value) {
    good = good && ::setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
  };
  if (options.no_delay) set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.receive_buffer) set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  if (options.send_buffer) set(SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  if (options.local) {
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    system_address name(*options.local);
    good = good && ::bind(socket.get(), name.get(), name.size) == 0;
  }
  failed = good ? 0 : errno;
  if (good && options.fast_open) set(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);  // where there is one
  return failed ? -1 : socket.take();
}

}  // namespace

bool connect_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  int error = 0;
  owned_descriptor socket(open_socket(to_, options_, error));
  if (error) return !give_up(error);
  system_address name(to_);
  const bool at_once = ::connect(socket.get(), name.get(), name.size) == 0;
  if (!at_once && errno != EINPROGRESS && errno != EINTR) return !give_up(errno);
  connected_ = tcp_socket(
      descriptor::open(engine::of(*where.on), socket.take(), medium::tcp, false));
  connected_.of()->hint[writing] = at_once;
  return launch(connected_.of(), writing);
}

bool connect_operation::attempt() {
  if (!on_->is_ready(writing)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(connected_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error) return give_up(error);
  // A connect to a port of this machine's own that nobody listens on can meet itself (both ends send
  // a SYN from and to the same port).
  system_address local;
  system_address remote;
  if (::getsockname(connected_.native_handle(), local.get(), &local.size) == 0 &&
      ::getpeername(connected_.native_handle(), remote.get(), &remote.size) == 0 &&
      local.to_endpoint() == remote.to_endpoint())
    return give_up(ECONNREFUSED);
  return true;
}

bool connect_operation::give_up(int error) noexcept {
  failure_ = system_failure(error);
  return true;
}

tcp_socket connect_operation::result() {
  if (!failure_) return std::move(connected_);
  connected_.close();
  if (is_cancelled(failure_)) raise(failure_);
  detail::raise(failure_, to_.to_string());
}

}  // namespace detail

namespace {

/// Makes address families take turns, the first one first (RFC 8305, section 4).
std::vector<endpoint> interleaved(const std::vector<endpoint>& all) {
  std::deque<endpoint> same;
  std::deque<endpoint> other;
  for (const endpoint& e : all)
    (e.address().is_v6() == all.front().address().is_v6() ? same : other).push_back(e);
  std::vector<endpoint> mixed;
  while (!same.empty() || !other.empty()) {
    for (auto* queue : {&same, &other}) {
      if (queue->empty()) continue;
      mixed.push_back(queue->front());
      queue->pop_front();
    }
  }
  return mixed;
}

/// Attempts to connect that run side by side.
struct race {
  const std::vector<endpoint>& to;
  const connect_options& options;
  nursery* attempts = nullptr;
  cancel_scope* pause = nullptr;  // before the next attempt; ends at once when one fails
  tcp_socket winner;
  std::vector<std::pair<endpoint, boost::system::error_code>> failures;

  task<> attempt(endpoint at) {
    auto result = co_await as_result(connect(at, options));
    if (result.has_value()) {
      if (!winner.is_open()) winner = std::move(*result);
      attempts->cancel_all();
    } else if (result.error() == error::cancelled) {
      throw boost::system::system_error(result.error());
    } else {
      failures.emplace_back(at, result.error());
      if (pause) pause->cancel();
    }
  }

  task<> start_all(nursery& in) {
    attempts = &in;
    for (const endpoint& each : to) {
      if (winner.is_open()) break;
      const std::size_t failed = failures.size();
      in.start([this](endpoint at) { return attempt(at); }, each);
      if (&each == &to.back()) break;
      cancel_scope waiting;
      pause = &waiting;
      const auto waited = co_await as_result(waiting.run(sleep_for(options.attempt_delay)));
      pause = nullptr;
      if (!waited && failures.size() == failed) throw boost::system::system_error(waited.error());
    }
  }
};

task<tcp_socket> connect_to_any(std::string name, std::vector<endpoint> to,
                                connect_options options) {
  if (options.local)
    std::erase_if(to, [&](const endpoint& e) {
      return e.address().is_v6() != options.local->address().is_v6();
    });
  if (to.empty()) detail::raise(detail::own_failure(error::host_not_found), name);
  to = interleaved(to);
  race r{to, options, nullptr, nullptr, {}, {}};
  co_await with_nursery([&r](nursery& in) { return r.start_all(in); });
  if (r.winner.is_open()) co_return std::move(r.winner);
  std::string text = name.empty() ? "cannot connect" : "cannot connect to " + name;
  for (const auto& [at, why] : r.failures)
    text += (why == r.failures.front().second && &at == &r.failures.front().first ? ": " : "; ") +
            at.to_string() + ": " + why.message();
  detail::raise_as(detail::to_failure(r.failures.front().second), text);
}

task<tcp_socket> look_up_and_connect(std::string host, std::string service,
                                     connect_options options) {
  std::vector<endpoint> to = co_await resolve(host, service, {.family = options.family});
  const bool colons = host.find(':') != host.npos;
  std::string name = (colons ? '[' + host + ']' : host) + ':' + service;
  co_return co_await connect_to_any(std::move(name), std::move(to), options);
}

}  // namespace

task<tcp_socket> connect(std::string host, std::string service, connect_options options) {
  co_return co_await with_timeout(
      options.timeout, look_up_and_connect(std::move(host), std::move(service), options));
}

task<tcp_socket> connect(std::string host, std::uint16_t port, connect_options options) {
  return connect(std::move(host), std::to_string(port), options);
}

task<tcp_socket> connect(std::vector<endpoint> to, connect_options options) {
  co_return co_await with_timeout(options.timeout,
                                  connect_to_any(std::string(), std::move(to), options));
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/connect.hpp>

#include "detail/checkpoint.hpp"
#include "detail/hosts.hpp"
#include "detail/look_up.hpp"
#include "detail/socket.hpp"
#include "detail/standard_numbers.hpp"
#include "detail/text.hpp"

#include <cosock/cancel.hpp>
#include <cosock/nursery.hpp>
#include <cosock/reconnect.hpp>
#include <cosock/sync.hpp>
#include <cosock/time.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace cosock {

using boost::system::error_code;

namespace {

/// An endpoint, and where from, as messages name it.
std::string way_to(const endpoint& to, const connect_options& options) {
  std::string way = to.to_string();
  if (options.local) way += " from " + options.local->to_string();
  if (options.receive_buffer < 0) way += " with a negative receive_buffer";
  if (options.send_buffer < 0) way += " with a negative send_buffer";
  return way;
}

}  // namespace

namespace detail {

namespace {

/// A new socket, set up as the options say; none, and an errno in `failed`, where that cannot be.
unique_descriptor open_socket(const endpoint& to, const connect_options& options,
                              int& failed) noexcept {
  const int domain = to.address().is_v6() ? AF_INET6 : AF_INET;
  auto socket = unique_descriptor::adopt(
      above_standard(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
  bool good = socket.get() >= 0;
  const auto set = [&](int level, int name, int value) {
    return ::setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
  };
  const auto use = [&](const endpoint& at) {
    const int error = use_interface_of(socket.get(), at.address());
    if (error) errno = error;
    return error == 0;
  };
  if (options.no_delay) good = good && set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.receive_buffer)
    good = good && set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
  if (options.send_buffer) good = good && set(SOL_SOCKET, SO_SNDBUF, options.send_buffer);
  if (options.local) {
    good = good && set(SOL_SOCKET, SO_REUSEADDR, 1);
    // Without it each connection takes a port that no other one may have, wherever it leads.
    if (good && options.local->port() == 0) set(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    good = good && use(*options.local);
    system_address name(*options.local);
    good = good && ::bind(socket.get(), name.get(), name.size) == 0;
  }
  good = good && use(to);
  failed = good ? 0 : errno;
  if (!good) return {};
  if (options.fast_open) set(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);  // where there is one
  return socket;
}

}  // namespace

bool connect_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  if (options_.receive_buffer < 0 || options_.send_buffer < 0) return give_up(EINVAL);
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
  endpoint peer = to_;
  if (!error && ::getpeername(connected_.native_handle(), remote.get(), &remote.size) == 0)
    peer = remote.to_endpoint();
  if (!error && ::getsockname(connected_.native_handle(), local.get(), &local.size) == 0 &&
      local.to_endpoint() == peer) {
    error = ECONNREFUSED;
    connected_.set_linger(0);  // or the port would be kept for a minute
  }
  connected_.of()->set_peer(peer);
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

/// How long the addresses of one family wait for those of the preferred one (RFC 8305, section 3,
/// Resolution Delay).
constexpr auto resolution_delay = std::chrono::milliseconds(50);

/// Everything about one connect() to several endpoints: the look-ups and the attempts, side by
/// side, and what came of them.
class race {
 public:
  race(std::string to, const connect_options& options) : to_(std::move(to)), options_(options) {}

  /// Tries them all, and returns the first connection.
  task<tcp_socket> run(std::vector<endpoint> to);
  /// The same for the addresses of a host, as the answers come in.
  task<tcp_socket> run(std::string host, std::string service);

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
  /// The addresses of one family, and the look-up that may find more.
  struct candidates {
    std::vector<endpoint> all;
    std::size_t tried = 0;
    bool awaited = false;  // the look-up goes on
    std::exception_ptr failure;

    bool has_next() const noexcept { return tried != all.size(); }
  };

  bool is_wanted(bool v6) const noexcept {
    return (options_.family == family::any || v6 == (options_.family == family::v6)) &&
           (!options_.local || v6 == options_.local->address().is_v6());
  }
  void add(const std::vector<endpoint>& found);
  task<> look_up(family which);
  task<> first_answers();
  candidates& next_family() noexcept;
  task<> try_all(nursery& attempts);
  task<> try_one(std::size_t which);
  tcp_socket result();

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
  std::string host_;
  std::string service_;
  candidates v6_;
  candidates v4_;
  bool v6_is_next_ = true;
  event answer_;  // of a look-up
  std::size_t candidates_ = 0;
  std::vector<attempt> begun_;
  std::optional<error_code> first_failure_;  // that may pass, if there is one
  nursery* attempts_ = nullptr;
  std::optional<cancel_scope> pause_;  // before the next attempt; a failure ends it
  tcp_socket winner_;
};

void race::add(const std::vector<endpoint>& found) {
  candidates_ += found.size();
  for (const endpoint& each : found) {
    const bool v6 = each.address().is_v6();
    if (is_wanted(v6)) (v6 ? v6_ : v4_).all.push_back(each);
  }
}

task<tcp_socket> race::run(std::vector<endpoint> to) {
  co_await detail::checkpoint();
  if (to.empty())
    raise_as(own_failure(error::host_not_found), cannot_connect() + ": there is no address to try");
  add(to);
  v6_is_next_ = to.front().address().is_v6();
  if (!v6_.has_next() && !v4_.has_next())
    raise_as(own_failure(error::host_not_found),
             cannot_connect() + ": there is no address of the wanted family");
  co_await with_nursery([this](nursery& in) { return try_all(in); });
  co_return result();
}

task<tcp_socket> race::run(std::string host, std::string service) {
  family which = options_.family;
  if (options_.local && which == family::any)
    which = options_.local->address().is_v6() ? family::v6 : family::v4;
  if (which != family::any || !detail::needs_server(host, which)) {
    std::vector<endpoint> to =
        co_await resolve(std::move(host), std::move(service), {.family = which});
    co_return co_await run(std::move(to));
  }
  host_ = std::move(host);
  service_ = std::move(service);
  const auto body = [this](nursery& in) -> task<> {
    const auto ask = [this](family which) { return look_up(which); };
    v6_.awaited = v4_.awaited = true;
    in.start(ask, family::v6);
    in.start(ask, family::v4);
    co_await first_answers();
    co_await try_all(in);
  };
  co_await with_nursery(body);
  co_return result();
}

task<> race::look_up(family which) {
  candidates& of = which == family::v6 ? v6_ : v4_;
  try {
    const std::vector<endpoint> found = co_await resolve(host_, service_, {.family = which});
    add(found);
  } catch (const boost::system::system_error& e) {
    if (e.code() == error::cancelled) throw;
    of.failure = std::current_exception();
  }
  of.awaited = false;
  answer_.set();
}

/// Waits until there is an address to begin with. Addresses of the preferred family need not wait
/// for the others, which wait a little for them.
task<> race::first_answers() {
  v6_is_next_ = !detail::is_v4_preferred();
  candidates& first = v6_is_next_ ? v6_ : v4_;
  candidates& second = v6_is_next_ ? v4_ : v6_;
  while (first.awaited && second.awaited) {
    answer_.reset();
    co_await answer_.wait();
  }
  if (!first.awaited || second.all.empty()) co_return;
  answer_.reset();
  const auto in_time = co_await as_result(with_timeout(resolution_delay, answer_.wait()));
  if (in_time.has_error() && in_time.error() == error::cancelled)
    detail::raise(detail::cancelled_failure());
}

/// Address families take turns (RFC 8305, section 4).
race::candidates& race::next_family() noexcept {
  const bool v6 = v6_is_next_ ? v6_.has_next() : !v4_.has_next();
  v6_is_next_ = !v6;
  return v6 ? v6_ : v4_;
}

task<> race::try_all(nursery& attempts) {
  attempts_ = &attempts;
  for (;;) {
    while (!v6_.has_next() && !v4_.has_next()) {
      if (!v6_.awaited && !v4_.awaited) co_return;
      answer_.reset();
      co_await answer_.wait();
    }
    candidates& from = next_family();
    begun_.push_back({from.all[from.tried++], {}});
    attempts.start([this](std::size_t which) { return try_one(which); }, begun_.size() - 1);
    if (!v6_.has_next() && !v4_.has_next() && !v6_.awaited && !v4_.awaited) co_return;
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

tcp_socket race::result() {
  if (winner_.is_open()) return std::move(winner_);
  if (first_failure_) raise_as(detail::to_failure(*first_failure_), cannot_connect() + list());
  // That one family has no address is not what the look-up of the other should be judged by.
  std::exception_ptr why = v4_.failure;
  if (detail::to_error_code(detail::failure_of(why)) == error::host_not_found) why = v6_.failure;
  std::rethrow_exception(why);
}

}  // namespace

task<tcp_socket> connect(std::string host, std::string service, connect_options options) {
  std::string name = detail::printable(host);
  if (host.find(':') != host.npos) name = '[' + name + ']';
  race r(name + ':' + detail::printable(service), options);
  try {
    co_return co_await with_timeout(options.timeout, r.run(std::move(host), std::move(service)));
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

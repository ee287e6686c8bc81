// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// connect(): one attempt (tcp_connect_operation), and the race of several attempts to the addresses
// of a host (RFC 8305). It runs on the loop of the task that awaits it.

#include <cosock/connect.hpp>

#include "core/checkpoint.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "net/look_up.hpp"
#include "net/socket.hpp"
#include "net/tcp_descriptor.hpp"

#include <cosock/cancel.hpp>
#include <cosock/time.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

namespace cosock {

using boost::system::error_code;

namespace {

/// An endpoint, and where from, as messages name it.
std::string way_to(const endpoint& peer, const connect_options& options) {
  std::string way = peer.to_string();
  if (options.local) way += " from " + options.local->to_string();
  if (options.receive_buffer.value_or(0) < 0) way += " with a negative receive_buffer";
  if (options.send_buffer.value_or(0) < 0) way += " with a negative send_buffer";
  return way;
}

}  // namespace

namespace detail {

namespace {

/// Whether the connection needs an IPv6 socket. A mapped peer needs one only for the sake of a local
/// endpoint such as [::]:80.
bool needs_v6(const endpoint& peer, const connect_options& options) noexcept {
  if (!is_for_v4_socket(peer.address())) return true;
  return peer.address().is_v6() && options.local && !is_for_v4_socket(options.local->address());
}

/// A new socket, set up as the options say; none, and an errno in `failed`, where that cannot be.
/// Throws what the hook of the options throws.
unique_descriptor open_socket(const endpoint& peer, const connect_options& options, int& failed) {
  const bool v6 = needs_v6(peer, options);
  auto socket = unique_descriptor::adopt(system::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM));
  bool good = socket.get() >= 0;
  const auto set = [&](int level, int name, int value) {
    return system::setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
  };
  const auto use = [&](const endpoint& at) {
    const int error = use_interface_of(socket.get(), at.address());
    if (error) errno = error;
    return error == 0;
  };
  if (options.no_delay) good = good && set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.receive_buffer) good = good && set(SOL_SOCKET, SO_RCVBUF, *options.receive_buffer);
  if (options.send_buffer) good = good && set(SOL_SOCKET, SO_SNDBUF, *options.send_buffer);
  // An old system does not have it.
  if (good && options.fast_open) set(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
  if (options.local) {
    good = good && set(SOL_SOCKET, SO_REUSEADDR, 1);
    // Without this option bind() takes a port for all destinations, so the ports run out sooner.
    if (good && options.local->port() == 0) set(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    good = good && use(*options.local);
  }
  if (good) options.configure(socket.get());
  if (options.local) {
    system_address name(*options.local, v6 && options.local->address().is_v6());
    good = good && system::bind(socket.get(), name.get(), name.size) == 0;
  }
  good = good && use(peer);
  failed = good ? 0 : errno;
  if (!good) return {};
  return socket;
}

}  // namespace

step tcp_connect_operation::start(std::coroutine_handle<> awaiting, cancel_node& parent) {
  if (!enter(awaiting, parent)) return complete_or_yield();
  if (options_.receive_buffer.value_or(0) < 0 || options_.send_buffer.value_or(0) < 0)
    return give_up(EINVAL);
  if (!options_.filter.permits(peer_.address())) {
    failure_ = own_failure(error::address_denied);
    return complete_or_yield();
  }
  int error = 0;
  unique_descriptor socket;
  try {
    socket = open_socket(peer_, options_, error);
  } catch (...) {
    hook_exception_ = std::current_exception();
    failure_ = failure_of(hook_exception_);
    return complete_or_yield();
  }
  if (error) return give_up(error);
  if (parent.cancelled) {  // by the hook
    failure_ = cancelled_failure();
    return complete_or_yield();
  }
  system_address name(peer_, needs_v6(peer_, options_));
  // After EINTR connecting goes on in the background, as after EINPROGRESS.
  const bool at_once = system::connect(socket.get(), name.get(), name.size) == 0;
  if (!at_once && errno != EINPROGRESS && errno != EINTR) return give_up(errno);
  tcp_descriptor* const opened =
      tcp_descriptor::open(scheduler::get(*parent.loop), socket.release(), false);
  connected_ = socket_access::make<tcp_socket>(opened);
  opened->maybe_ready[writing] = at_once;
  return launch(opened, writing);
}

step tcp_connect_operation::attempt() {
  if (!object_->is_ready(writing)) return step::pending;
  int error = 0;
  socklen_t size = sizeof error;
  if (system::getsockopt(connected_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  // A connection to a port of this machine on which no socket listens may reach itself: a
  // simultaneous open from and to the same port. Only equal names of both ends show that.
  system_address local;
  system_address remote;
  endpoint peer = peer_;
  if (!error && system::getpeername(connected_.native_handle(), remote.get(), &remote.size) == 0)
    peer = remote.to_endpoint();
  if (!error && system::getsockname(connected_.native_handle(), local.get(), &local.size) == 0 &&
      local.to_endpoint() == peer) {
    error = ECONNREFUSED;
    connected_.set_linger(time_span());  // otherwise TIME_WAIT would keep the port for a minute
  }
  static_cast<tcp_descriptor*>(object_)->peer = peer;
  if (error) failure_ = system_failure(error);
  return step::done;
}

/// Ends before there was anything to wait for. That counts as an operation that completed at once:
/// somebody may be trying again and again.
step tcp_connect_operation::give_up(int error) noexcept {
  failure_ = system_failure(error);
  return complete_or_yield();
}

tcp_socket tcp_connect_operation::result() {
  if (hook_exception_) std::rethrow_exception(hook_exception_);
  if (!failure_) return std::move(connected_);
  connected_.close();
  if (is_cancelled(failure_)) raise(failure_);
  detail::raise(failure_, way_to(peer_, options_));
}

}  // namespace detail

namespace {

using detail::own_failure;
using detail::raise_as;

/// Everything about one connect() to several endpoints: the look-ups and the attempts, side by
/// side, and what came of them.
class race {
 public:
  race(std::string target, const connect_options& options)
      : target_(std::move(target)), options_(options), attempt_options_(options) {
    if (options.configure) attempt_options_.configure = hook_;
  }
  race(const race&) = delete;
  race& operator=(const race&) = delete;

  /// Tries them all, and returns the first connection.
  task<tcp_socket> run(std::vector<endpoint> peers);
  /// The same for the addresses of a host, as the answers come in.
  task<tcp_socket> run(std::string host, std::string service);

  [[noreturn]] void raise_timed_out() const {
    if (hook_.exception) std::rethrow_exception(hook_.exception);
    const auto limit = detail::passed_limit::of_duration(options_.timeout.count());
    raise_as(own_failure(error::timed_out), cannot_connect() + ": " + detail::text_of(limit) +
                                                (candidates_.found() ? "" : " during the look-up") +
                                                list());
  }

 private:
  struct attempt {
    endpoint peer;
    std::optional<error_code> failure;  // none yet
  };
  bool is_wanted(bool v6) const noexcept {
    return (options_.family == family::any || v6 == (options_.family == family::v6)) &&
           (!options_.local || v6 == options_.local->address().unmapped().is_v6());
  }
  bool is_wanted(const address& peer) const noexcept {
    if (is_wanted(peer.unmapped().is_v6())) return true;
    // An IPv6 socket that is bound to [::] connects to mapped addresses too.
    return peer.is_v4_mapped() && options_.family != family::v6 && options_.local &&
           options_.local->address().is_v6();
  }
  [[noreturn]] void raise_no_family() const {
    raise_as(own_failure(error::host_not_found),
             cannot_connect() + ": there is no address of the wanted family");
  }
  task<> try_all(nursery& attempts);
  task<> try_one(std::size_t index);
  tcp_socket result();

  std::string cannot_connect() const {
    return target_.empty() ? "cannot connect" : "cannot connect to " + target_;
  }
  /// Every attempt and what came of it, and every address that the filter does not permit.
  std::string list() const {
    std::string text;
    for (const attempt& entry : begun_) {
      text += &entry == &begun_.front() ? ": " : "; ";
      if (const std::string way = way_to(entry.peer, options_); begun_.size() > 1 || way != target_)
        text += way + ": ";
      text += entry.failure ? entry.failure->message() : "no answer";
    }
    return text;
  }

  std::string target_;  // as the caller put it, or empty
  const connect_options& options_;
  connect_options attempt_options_;  // with hook_, if there is a hook
  /// Keeps the exception of the hook: it is not the failure of one attempt.
  struct guarded_hook {
    void operator()(int fd) {
      try {
        hook(fd);
      } catch (...) {
        exception = std::current_exception();
        throw;
      }
    }
    const socket_hook& hook;
    std::exception_ptr exception;
  };
  guarded_hook hook_{options_.configure, nullptr};
  detail::candidates candidates_;
  std::vector<attempt> begun_;
  std::optional<error_code> first_failure_;  // that may pass, if there is one
  nursery* attempts_ = nullptr;
  std::optional<cancel_scope> pause_;  // before the next attempt; a failure ends it
  tcp_socket winner_;
};

task<tcp_socket> race::run(std::vector<endpoint> peers) {
  co_await detail::checkpoint();
  if (peers.empty())
    raise_as(own_failure(error::host_not_found), cannot_connect() + ": there is no address to try");
  std::erase_if(peers, [this](const endpoint& entry) { return !is_wanted(entry.address()); });
  if (peers.empty()) raise_no_family();
  candidates_.add(peers);
  co_await with_nursery([this](nursery& in) { return try_all(in); });
  co_return result();
}

task<tcp_socket> race::run(std::string host, std::string service) {
  family wanted = options_.family;
  if (options_.local && wanted == family::any)
    wanted = options_.local->address().unmapped().is_v6() ? family::v6 : family::v4;
  if (wanted != family::any && !is_wanted(wanted == family::v6)) {
    co_await detail::checkpoint();
    raise_no_family();
  }
  const auto body = [this, &host, &service, wanted](nursery& in) -> task<> {
    co_await candidates_.look_up(in, std::move(host), std::move(service), wanted);
    co_await try_all(in);
  };
  co_await with_nursery(body);
  co_return result();
}

task<> race::try_all(nursery& attempts) {
  attempts_ = &attempts;
  for (;;) {
    const std::optional<endpoint> peer = co_await candidates_.next();
    if (!peer) co_return;
    if (!options_.filter.permits(peer->address())) {
      begun_.push_back({*peer, make_error_code(error::address_denied)});
      continue;
    }
    begun_.push_back({*peer, {}});
    attempts.start([this](std::size_t index) { return try_one(index); }, begun_.size() - 1);
    if (!candidates_.more()) co_return;
    pause_.emplace();  // a new scope: a cancelled one stays cancelled
    (void)co_await as_result(pause_->run(sleep_for(options_.attempt_delay)));
    if (attempts.is_cancelled()) detail::raise(detail::cancelled_failure());
  }
}

task<> race::try_one(std::size_t index) {
  auto result = co_await as_result(connect(begun_[index].peer, attempt_options_));
  if (hook_.exception) {
    attempts_->cancel();
    co_return;
  }
  if (result.has_value()) {
    if (!winner_.is_open()) winner_ = std::move(*result);
    attempts_->cancel();
    co_return;
  }
  if (result.error() == error::cancelled) detail::raise(detail::cancelled_failure());
  begun_[index].failure = result.error();
  // A permanent error, such as a missing IPv6, must not hide an error that may pass: the caller
  // decides by the code whether to try again.
  if (!first_failure_ || (is_permanent(*first_failure_) && !is_permanent(result.error())))
    first_failure_ = result.error();
  if (pause_) pause_->cancel();
}

tcp_socket race::result() {
  if (hook_.exception) std::rethrow_exception(hook_.exception);
  if (winner_.is_open()) return std::move(winner_);
  if (first_failure_) raise_as(detail::to_failure(*first_failure_), cannot_connect() + list());
  if (!begun_.empty()) raise_as(own_failure(error::address_denied), cannot_connect() + list());
  candidates_.raise();
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

task<tcp_socket> connect(std::vector<endpoint> peers, connect_options options) {
  race r({}, options);
  try {
    co_return co_await with_timeout(options.timeout, r.run(std::move(peers)));
  } catch (const boost::system::system_error& e) {
    if (e.code() != error::timed_out) throw;
  }
  r.raise_timed_out();
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/listeners.hpp>

#include "detail/local_binding.hpp"
#include "detail/socket.hpp"

#include <cosock/loops.hpp>
#include <cosock/mailbox.hpp>

#include <fcntl.h>

#include <mutex>
#include <stdexcept>

namespace cosock {

namespace {

unsigned places(unsigned n) { return n ? n : usable_cores(); }

[[noreturn]] void refuse_index() {
  throw std::logic_error("cosock: each loop takes the acceptor of its own index, once");
}

}  // namespace

tcp_listeners::tcp_listeners(const endpoint& at, unsigned n, const acceptor_options& options)
    : sockets_(places(n)), at_(at) {
  acceptor_options shared = options;
  shared.reuse_port = true;
  for (unique_descriptor& each : sockets_) {
    each = unique_descriptor::adopt(detail::listen_tcp(at_, shared));
    detail::system_address name;  // of the first one, for the port that the system has picked
    detail::check(::getsockname(each.get(), name.get(), &name.size), at_);
    at_ = name.to_endpoint();
  }
}

tcp_acceptor tcp_listeners::acceptor(unsigned index) {
  if (index >= sockets_.size() || !sockets_[index].is_open()) refuse_index();
  detail::engine::required();
  return tcp_acceptor::adopt(sockets_[index].release());
}

namespace detail {

/// A listening socket, and whose turn it is to accept from it: passed round among those who wait, so
/// that a connection stays in the backlog until the loop that is going to serve it takes it.
class dealer {
 public:
  dealer(medium what, const local_endpoint& at, unsigned n, int backlog, int mode, bool replace_stale)
      : what(what), seats_(n), open_(n) {
    sockets_.resize(n);
    sockets_[0] = unique_descriptor::adopt(
        listen_local(what, at, backlog, mode, replace_stale, binding_));
    local_address name;
    check(::getsockname(sockets_[0].get(), name.get(), &name.size), at);
    this->at = name.to_endpoint();
    for (unsigned i = 1; i != n; ++i) {
      sockets_[i] =
          unique_descriptor::adopt(::fcntl(sockets_[0].get(), F_DUPFD_CLOEXEC, 0));
      check(sockets_[i].is_open() ? 0 : -1, at);
    }
  }
  ~dealer() { binding_.reset(); }

  unsigned size() const noexcept { return static_cast<unsigned>(seats_.size()); }

  /// The socket of this index; -1 if somebody has it.
  int take_socket(unsigned index, mailbox<char>::sender bell) {
    const std::lock_guard lock(mutex_);
    if (index >= sockets_.size() || !sockets_[index].is_open()) return -1;
    seats_[index].bell = std::move(bell);
    return sockets_[index].release();
  }
  /// Before somebody closes a socket that was taken.
  void closes() noexcept {
    const std::lock_guard lock(mutex_);
    if (--open_ == 0) binding_.reset();
  }
  /// Closes those that nobody has taken.
  void close_rest() noexcept {
    const std::lock_guard lock(mutex_);
    for (unique_descriptor& each : sockets_) {
      if (!each.is_open()) continue;
      if (--open_ == 0) binding_.reset();
      each.close();
    }
  }

  void sit(unsigned index) noexcept {
    const std::lock_guard lock(mutex_);
    seats_[index].waits = true;
    if (turn_ == nobody) turn_ = index;
  }
  bool has_turn(unsigned index) const noexcept {
    const std::lock_guard lock(mutex_);
    return turn_ == index;
  }
  void leave(unsigned index) noexcept {
    const std::lock_guard lock(mutex_);
    seats_[index].waits = false;
    if (turn_ != index) return;
    turn_ = nobody;
    for (unsigned i = 1; i != size(); ++i) {
      const unsigned next = (index + i) % size();
      if (!seats_[next].waits) continue;
      turn_ = next;
      static_cast<void>(seats_[next].bell->try_send('!'));  // one that is full has rung
      return;
    }
  }

  const medium what;
  local_endpoint at;

 private:
  static void check(int result, const local_endpoint& at) {
    if (result != 0) raise(system_failure(errno), at.to_string());
  }

  struct seat {
    std::optional<mailbox<char>::sender> bell;
    bool waits = false;
  };
  static constexpr unsigned nobody = static_cast<unsigned>(-1);
  mutable std::mutex mutex_;
  std::vector<seat> seats_;
  unsigned turn_ = nobody;
  unsigned open_;
  std::vector<unique_descriptor> sockets_;  // that nobody has taken
  std::unique_ptr<local_binding> binding_;
};

/// What one loop has of it. Shared by its acceptor and a pending accept.
struct dealt_part {
  dealt_part(std::shared_ptr<dealer> from, unsigned index) : of(std::move(from)), index(index) {
    const int fd = of->take_socket(index, bell.make_sender());
    if (fd < 0) refuse_index();
    try {
      listening = descriptor::open(engine::required(), fd, of->what, true);
    } catch (...) {
      of->closes();
      throw;
    }
  }
  ~dealt_part() { close(); }
  dealt_part(const dealt_part&) = delete;
  dealt_part& operator=(const dealt_part&) = delete;

  void close() noexcept {
    if (!listening) return;
    of->closes();
    std::exchange(listening, nullptr)->close();
    bell.close();
  }

  std::shared_ptr<dealer> of;
  unsigned index;
  descriptor* listening = nullptr;
  mailbox<char> bell{1};
  bool accepts = false;
};

dealt_turn::dealt_turn(std::shared_ptr<dealt_part> of) : of_(std::move(of)) {
  if (!of_ || !of_->listening) raise(closed_failure());
  if (of_->accepts) raise(own_failure(error::busy));
  of_->accepts = true;
  of_->of->sit(of_->index);
}

dealt_turn::~dealt_turn() {
  of_->accepts = false;
  of_->of->leave(of_->index);
}

task<> dealt_turn::wait() {
  while (!of_->of->has_turn(of_->index)) {
    const std::optional<char> rung = co_await of_->bell.receive();
    if (!rung) raise(closed_failure());
  }
}

descriptor* const& dealt_turn::listening() const noexcept { return of_->listening; }

void dealt_acceptor::close() noexcept {
  if (part_) std::exchange(part_, nullptr)->close();
}

local_endpoint dealt_acceptor::local_endpoint() const {
  if (!part_) raise(closed_failure());
  return part_->of->at;
}

dealing_listeners::dealing_listeners(medium what, const cosock::local_endpoint& at, unsigned n,
                                     int backlog, int mode, bool replace_stale)
    : shared_(std::make_shared<dealer>(what, at, places(n), backlog, mode, replace_stale)) {}

dealing_listeners::~dealing_listeners() { shared_->close_rest(); }

std::shared_ptr<dealt_part> dealing_listeners::take(unsigned index) {
  return std::make_shared<dealt_part>(shared_, index);
}

unsigned dealing_listeners::size() const noexcept { return shared_->size(); }
local_endpoint dealing_listeners::local_endpoint() const noexcept { return shared_->at; }

}  // namespace detail
}  // namespace cosock

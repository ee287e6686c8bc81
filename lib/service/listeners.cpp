// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/listeners.hpp>

#include "net/local_binding.hpp"
#include "net/socket.hpp"

#include <cosock/mailbox.hpp>

#include <fcntl.h>

#include <mutex>
#include <stdexcept>

namespace cosock {

namespace {

[[noreturn]] void refuse_index() {
  throw std::logic_error("cosock: each loop takes the acceptor of its own index, once");
}

}  // namespace

tcp_listeners::tcp_listeners(const endpoint& at, unsigned n, const acceptor_options& options)
    : sockets_(detail::loop_count(n)), at_(at) {
  // The first one takes the port for itself, and shares it only with the others.
  acceptor_options each = options;
  for (unique_descriptor& socket : sockets_) {
    socket = detail::bind_tcp(at_, each);
    if (each.reuse_port) continue;
    each.reuse_port = true;
    const int yes = 1;
    detail::check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), at_);
    detail::system_address name;  // with the port that the system has picked
    detail::check(::getsockname(socket.get(), name.get(), &name.size), at_);
    at_ = name.to_endpoint();
  }
  for (const unique_descriptor& socket : sockets_)
    detail::check(::listen(socket.get(), detail::not_negative("backlog", options.backlog)), at_);
}

tcp_acceptor tcp_listeners::acceptor(unsigned index) {
  if (index >= sockets_.size() || !sockets_[index].is_open()) refuse_index();
  detail::scheduler::required();
  return tcp_acceptor::adopt(sockets_[index].release());
}

namespace detail {

/// A listening socket, and whose turn it is to accept from it: passed round among those who wait, so
/// that a connection stays in the backlog until the loop that is going to serve it takes it.
///
/// Each loop has a descriptor of its own for the socket, and with it a share in the file. All of them
/// are woken by a connection, which the reactor gives no way around; but those whose turn it is not
/// only note that there was something.
class dealer {
 public:
  dealer(fd_kind kind, const local_endpoint& wanted, unsigned n, int backlog, int mode,
         bool replace_stale)
      : kind(kind), seats_(n) {
    std::unique_ptr<local_binding> binding;
    const int first = listen_local(kind, wanted, backlog, mode, replace_stale, binding);
    seats_[0].socket = unique_descriptor::adopt(first);
    const std::shared_ptr<local_binding> file = std::move(binding);
    local_address name;
    check(::getsockname(first, name.get(), &name.size), wanted);
    at = name.to_endpoint();
    for (seat& each : seats_) {
      if (!each.socket.is_open())
        each.socket = unique_descriptor::adopt(
            ::fcntl(first, F_DUPFD_CLOEXEC, last_standard_number + 1));
      check(each.socket.is_open() ? 0 : -1, wanted);
      each.file = file;
    }
  }

  unsigned size() const noexcept { return static_cast<unsigned>(seats_.size()); }

  /// The socket of this index, and what it shares; std::logic_error if somebody has it.
  int take_socket(unsigned index, mailbox<char>::sender bell, std::shared_ptr<local_binding>& file) {
    const std::lock_guard lock(mutex_);
    if (index >= seats_.size() || !seats_[index].socket.is_open()) refuse_index();
    seats_[index].bell = std::move(bell);
    file = std::move(seats_[index].file);
    return seats_[index].socket.release();
  }
  /// Closes those that nobody has taken.
  void close_rest() noexcept {
    const std::lock_guard lock(mutex_);
    for (seat& each : seats_) {
      each.file.reset();
      each.socket.close();
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

  const fd_kind kind;
  local_endpoint at;

 private:
  static void check(int result, const local_endpoint& at) {
    if (result != 0) raise(system_failure(errno), at.to_string());
  }

  struct seat {
    unique_descriptor socket;             // until it is taken
    std::shared_ptr<local_binding> file;  // goes before it
    std::optional<mailbox<char>::sender> bell;
    bool waits = false;
  };
  static constexpr unsigned nobody = static_cast<unsigned>(-1);
  mutable std::mutex mutex_;
  std::vector<seat> seats_;
  unsigned turn_ = nobody;
};

/// What one loop has of it. Shared by its acceptor and a pending accept.
struct dealt_part {
  dealt_part(std::shared_ptr<dealer> from, unsigned index) : of(std::move(from)), index(index) {
    std::shared_ptr<local_binding> file;
    const int fd = of->take_socket(index, bell.make_sender(), file);
    listening = descriptor::open(scheduler::required(), fd, of->kind, true);
    listening->attach(std::move(file));
  }
  ~dealt_part() { close(); }
  dealt_part(const dealt_part&) = delete;
  dealt_part& operator=(const dealt_part&) = delete;

  bool is_open() const noexcept { return listening && listening->is_open(); }
  void close() noexcept {
    if (!listening) return;
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
  if (!of_ || !of_->is_open()) raise(closed_failure());
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

bool dealt_acceptor::is_open() const noexcept { return part_ && part_->is_open(); }

local_endpoint dealt_acceptor::local_endpoint() const {
  if (!is_open()) raise(closed_failure());
  return part_->of->at;
}

dealing_listeners::dealing_listeners(fd_kind kind, const cosock::local_endpoint& at, unsigned n,
                                     int backlog, int mode, bool replace_stale)
    : shared_(std::make_shared<dealer>(kind, at, loop_count(n), backlog, mode, replace_stale)) {}

dealing_listeners::~dealing_listeners() { shared_->close_rest(); }

std::shared_ptr<dealt_part> dealing_listeners::take(unsigned index) {
  return std::make_shared<dealt_part>(shared_, index);
}

unsigned dealing_listeners::size() const noexcept { return shared_->size(); }
local_endpoint dealing_listeners::local_endpoint() const noexcept { return shared_->at; }

}  // namespace detail
}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Acceptors of several loops for one port, or for one local socket. TCP: a socket for each loop,
// among which the system distributes connections (SO_REUSEPORT). Local sockets: one socket, from
// which the loops accept in turn.

#include <cosock/acceptors.hpp>

#include "net/local_binding.hpp"
#include "net/socket.hpp"
#include "net/tcp_descriptor.hpp"
#include "service/spread.hpp"

#include <cosock/mailbox.hpp>

#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>

#include <memory>
#include <mutex>
#include <stdexcept>

namespace cosock {

namespace {

[[noreturn]] void refuse_index() {
  throw std::logic_error("cosock: each loop takes the acceptor of its own index, once");
}

/// Makes the system choose the socket by the processor that receives the connection. The sockets have
/// the order in which they began to listen. Each processor of the mask is one comparison of the
/// program, up to the longest program that the system takes.
void choose_by_processor(int socket, unsigned sockets, const endpoint& at) {
  cpu_set_t own;
  CPU_ZERO(&own);
  static_cast<void>(::sched_getaffinity(0, sizeof own, &own));
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(SKF_AD_OFF + SKF_AD_CPU))};
  unsigned index = 0;
  for (unsigned i = 0; i != CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(i, &own)) continue;
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, index++ % sockets));
  }
  program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, sockets));
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  const sock_fprog all = {static_cast<unsigned short>(program.size()), program.data()};
  detail::check(
      detail::system::setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &all, sizeof all),
      at);
}

}  // namespace

tcp_acceptors::tcp_acceptors(const endpoint& at, std::optional<unsigned> n,
                             const tcp_acceptor_options& options, spread how)
    : sockets_(detail::loop_count(n)), local_endpoint_(at) {
  // The first socket binds without SO_REUSEPORT, so it fails if another process has the port. It is
  // set afterwards, so that the other sockets of this object can share the port.
  tcp_acceptor_options entry = options;
  for (unique_descriptor& socket : sockets_) {
    socket = detail::bind_tcp(local_endpoint_, entry);
    if (entry.reuse_port) continue;
    entry.reuse_port = true;
    const int yes = 1;
    detail::check(
        detail::system::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes),
        local_endpoint_);
    detail::system_address name;  // with the port that the system has picked
    detail::check(detail::system::getsockname(socket.get(), name.get(), &name.size),
                  local_endpoint_);
    local_endpoint_ = name.to_endpoint();
  }
  // When all are bound: a connection to a listening socket would be lost if a later bind failed.
  for (const unique_descriptor& socket : sockets_)
    detail::check(
        detail::system::listen(socket.get(), detail::not_negative("backlog", options.backlog)),
        local_endpoint_);
  if (how == spread::cpu) choose_by_processor(sockets_[0].get(), size(), local_endpoint_);
  if (how == spread::even) group_ = std::make_shared<detail::spread_group>(size());
}

tcp_acceptors::tcp_acceptors(tcp_acceptors&&) noexcept = default;
tcp_acceptors& tcp_acceptors::operator=(tcp_acceptors&& other) noexcept {
  if (this == &other) return *this;
  if (group_) group_->close_rest();
  sockets_ = std::move(other.sockets_);
  local_endpoint_ = other.local_endpoint_;
  group_ = std::move(other.group_);
  return *this;
}
tcp_acceptors::~tcp_acceptors() {
  if (group_) group_->close_rest();
}

tcp_acceptors tcp_acceptors::adopt(std::vector<unique_descriptor> sockets,
                                   std::optional<unsigned> n, spread how) {
  const std::size_t loops = detail::loop_count(n);
  if (sockets.empty() || (n && loops < sockets.size()))
    throw std::invalid_argument(
        "cosock: " + std::to_string(sockets.size()) + " sockets for " + std::to_string(loops) +
        " loops; accepted: 1 socket or more, and a loop for each, because each has a queue of its "
        "own");
  for (const unique_descriptor& socket : sockets)
    detail::prepare_adopted_listener(socket.get(), SOCK_STREAM, AF_UNSPEC);
  tcp_acceptors made;
  detail::system_address name;
  if (detail::system::getsockname(sockets[0].get(), name.get(), &name.size) != 0)
    detail::raise(detail::system_failure(errno));
  made.local_endpoint_ = name.to_endpoint();
  const std::size_t given = sockets.size();
  for (std::size_t i = given; i < loops; ++i)
    sockets.push_back(detail::duplicate(sockets[i % given].get()));
  made.sockets_ = std::move(sockets);
  if (how == spread::cpu)
    choose_by_processor(made.sockets_[0].get(), static_cast<unsigned>(given), made.local_endpoint_);
  if (how == spread::even) made.group_ = std::make_shared<detail::spread_group>(made.size());
  return made;
}

tcp_acceptor tcp_acceptors::acceptor(unsigned index) {
  if (index >= sockets_.size() || !sockets_[index].is_open()) refuse_index();
  detail::scheduler::required();
  const int fd = sockets_[index].release();
  return group_ ? tcp_acceptor(group_->open(index, fd)) : tcp_acceptor::adopt(fd);
}

std::size_t tcp_acceptors::connections(unsigned index) const {
  if (index >= sockets_.size()) refuse_index();
  return group_ ? group_->connections(index) : 0;
}

bool tcp_acceptors::move_to(unsigned index, tcp_socket& socket) {
  if (index >= sockets_.size()) refuse_index();
  if (!group_) throw std::logic_error("cosock: tcp_acceptors::move_to() needs spread::even");
  if (!socket.is_open()) return false;
  const endpoint peer = socket.remote_endpoint();
  return group_->pass_to(index, peer, [&] { return socket.release(); });
}

namespace detail {

/// A listening local socket, and the loop whose turn it is to accept. The turn is passed around
/// among the loops that wait, so a connection stays in the backlog until the loop that will serve
/// it takes it.
///
/// Each loop has a duplicate of the descriptor, and a share in the file of the socket. A connection
/// wakes all loops, because the reactor has no exclusive watches; a loop that does not have the
/// turn only notes the event. Used from all these loops, so a mutex guards it.
class accept_rotation {
 public:
  accept_rotation(fd_kind kind, const local_endpoint& wanted, unsigned n,
                  const local_acceptor_options& options)
      : kind(kind), slots_(n) {
    std::unique_ptr<local_binding> binding;
    const int first = listen_local(kind, wanted, options, binding);
    slots_[0].socket = unique_descriptor::adopt(first);
    fill_slots(std::move(binding));
  }
  /// For a socket that listens already.
  accept_rotation(fd_kind kind, unique_descriptor socket, unsigned n) : kind(kind), slots_(n) {
    slots_[0].socket = std::move(socket);
    fill_slots(nullptr);
  }

  unsigned size() const noexcept { return static_cast<unsigned>(slots_.size()); }

  /// Passes the socket of this index, and its share in the file, to the caller. Throws
  /// std::logic_error if it was taken before.
  int take_socket(unsigned index, mailbox<char>::sender turn_signal,
                  std::shared_ptr<local_binding>& file) {
    const std::lock_guard lock(mutex_);
    if (index >= slots_.size() || !slots_[index].socket.is_open()) refuse_index();
    slots_[index].turn_signal = std::move(turn_signal);
    file = std::move(slots_[index].file);
    return slots_[index].socket.release();
  }
  /// A socket that was not taken, and its share in the file.
  int listening(std::shared_ptr<descriptor_attachment>& file) const {
    const std::lock_guard lock(mutex_);
    for (const slot& entry : slots_) {
      if (!entry.socket.is_open()) continue;
      file = entry.file;
      return entry.socket.get();
    }
    throw std::logic_error("cosock: all acceptors were taken: pass the sockets on before");
  }
  /// Closes the sockets that were not taken.
  void close_rest() noexcept {
    const std::lock_guard lock(mutex_);
    for (slot& entry : slots_) {
      entry.file.reset();
      entry.socket.close();
    }
  }

  void wait_for_turn(unsigned index) noexcept {
    const std::lock_guard lock(mutex_);
    slots_[index].waits = true;
    if (turn_ == no_slot) turn_ = index;
  }
  bool has_turn(unsigned index) const noexcept {
    const std::lock_guard lock(mutex_);
    return turn_ == index;
  }
  void pass_turn(unsigned index) noexcept {
    const std::lock_guard lock(mutex_);
    slots_[index].waits = false;
    if (turn_ != index) return;
    turn_ = no_slot;
    for (unsigned i = 1; i != size(); ++i) {
      const unsigned next = (index + i) % size();
      if (!slots_[next].waits) continue;
      turn_ = next;
      static_cast<void>(slots_[next].turn_signal->try_send('!'));  // full: one is pending
      return;
    }
  }

  const fd_kind kind;
  local_endpoint at;

 private:
  /// Duplicates the first socket for the other loops.
  void fill_slots(std::shared_ptr<local_binding> file) {
    const int first = slots_[0].socket.get();
    local_address name;
    if (detail::system::getsockname(first, name.get(), &name.size) != 0)
      raise(system_failure(errno));
    at = name.to_endpoint();
    for (slot& entry : slots_) {
      if (!entry.socket.is_open()) entry.socket = duplicate(first);
      entry.file = file;
    }
  }

  struct slot {
    unique_descriptor socket;             // released when it is taken
    std::shared_ptr<local_binding> file;  // after `socket`, so it is destroyed before
    std::optional<mailbox<char>::sender> turn_signal;
    bool waits = false;
  };
  static constexpr unsigned no_slot = static_cast<unsigned>(-1);
  mutable std::mutex mutex_;
  std::vector<slot> slots_;
  unsigned turn_ = no_slot;
};

/// The part of one loop. Shared by its acceptor and a pending accept, which may outlive the
/// acceptor.
struct shared_acceptor_part {
  shared_acceptor_part(std::shared_ptr<accept_rotation> rotation, unsigned index)
      : shared(std::move(rotation)), index(index) {
    std::shared_ptr<local_binding> file;
    const int fd = shared->take_socket(index, turn_signal.make_sender(), file);
    descriptor* const opened = descriptor::open(scheduler::required(), fd, shared->kind, true);
    opened->attach(std::move(file));
    listening = opened;
  }
  ~shared_acceptor_part() { close(); }
  shared_acceptor_part(const shared_acceptor_part&) = delete;
  shared_acceptor_part& operator=(const shared_acceptor_part&) = delete;

  bool is_open() const noexcept { return listening && listening->loop; }
  void close() noexcept {
    if (!listening) return;
    descriptor_of(std::exchange(listening, nullptr))->close();
    turn_signal.close();
  }

  std::shared_ptr<accept_rotation> shared;
  unsigned index;
  io_object* listening = nullptr;
  mailbox<char> turn_signal{1};
  bool accepts = false;
};

accept_turn::accept_turn(std::shared_ptr<shared_acceptor_part> part) : part_(std::move(part)) {
  if (!part_ || !part_->is_open()) raise(closed_failure());
  if (part_->accepts) raise(own_failure(error::busy));
  part_->accepts = true;
  part_->shared->wait_for_turn(part_->index);
}

accept_turn::~accept_turn() {
  part_->accepts = false;
  part_->shared->pass_turn(part_->index);
}

task<> accept_turn::wait() {
  // A signal may be an old one, so the turn is checked again after each.
  while (!part_->shared->has_turn(part_->index)) {
    const std::optional<char> signal = co_await part_->turn_signal.receive();
    if (!signal) raise(closed_failure());
  }
}

io_object* const& accept_turn::listening() const noexcept { return part_->listening; }

void shared_acceptor_base::close() noexcept {
  if (part_) std::exchange(part_, nullptr)->close();
}

bool shared_acceptor_base::is_open() const noexcept { return part_ && part_->is_open(); }

local_endpoint shared_acceptor_base::local_endpoint() const {
  if (!is_open()) raise(closed_failure());
  return part_->shared->at;
}

shared_acceptors_base::shared_acceptors_base(fd_kind kind, const cosock::local_endpoint& at,
                                             std::optional<unsigned> n,
                                             const local_acceptor_options& options)
    : shared_(std::make_shared<accept_rotation>(kind, at, loop_count(n), options)) {}

shared_acceptors_base::shared_acceptors_base(fd_kind kind, int fd, std::optional<unsigned> n) {
  auto socket = unique_descriptor::adopt(fd);
  prepare_adopted_listener(fd, kind == fd_kind::messages ? SOCK_SEQPACKET : SOCK_STREAM, AF_UNIX);
  shared_ = std::make_shared<accept_rotation>(kind, std::move(socket), loop_count(n));
}

int shared_acceptors_base::listening(std::shared_ptr<descriptor_attachment>& file) const {
  return shared_->listening(file);
}

shared_acceptors_base::~shared_acceptors_base() { shared_->close_rest(); }

std::shared_ptr<shared_acceptor_part> shared_acceptors_base::take(unsigned index) {
  return std::make_shared<shared_acceptor_part>(shared_, index);
}

unsigned shared_acceptors_base::size() const noexcept { return shared_->size(); }
local_endpoint shared_acceptors_base::local_endpoint() const noexcept { return shared_->at; }

}  // namespace detail
}  // namespace cosock

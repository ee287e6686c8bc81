// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The parts of local_acceptors (acceptors.hpp) that do not depend on the type of the connections.
// The loops share one listening socket, because SO_REUSEPORT does not work for local sockets, and
// take turns to accept. The code is in lib/service/acceptors.cpp.

#include <cosock/detail/fd_kind.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/task.hpp>

#include <memory>
#include <optional>

namespace cosock {
class passed_sockets;
struct local_acceptor_options;
}  // namespace cosock

namespace cosock::detail {

class accept_rotation;
class descriptor_attachment;
struct shared_acceptor_part;
class io_object;

/// The turn of one loop to accept. wait() waits for it; the destructor passes it on to the next
/// loop.
class COSOCK_API accept_turn {
 public:
  /// Throws `closed`, or `busy` if this part has a turn already.
  explicit accept_turn(std::shared_ptr<shared_acceptor_part> part);
  ~accept_turn();
  accept_turn(const accept_turn&) = delete;
  accept_turn& operator=(const accept_turn&) = delete;
  task<> wait();
  io_object* const& listening() const noexcept;

 private:
  std::shared_ptr<shared_acceptor_part> part_;
};

/// The part of an acceptor of a shared socket that does not know the type of its connections.
class COSOCK_API shared_acceptor_base {
 public:
  /// Ends the part of this loop. A pending accept ends with `error::closed`. The last one of all
  /// stops listening, and removes the file. Idempotent.
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  /// Throws `error::closed`.
  [[nodiscard]] cosock::local_endpoint local_endpoint() const;

 protected:
  shared_acceptor_base() noexcept = default;
  explicit shared_acceptor_base(std::shared_ptr<shared_acceptor_part> part) noexcept
      : part_(std::move(part)) {}
  shared_acceptor_base(shared_acceptor_base&&) noexcept = default;
  shared_acceptor_base& operator=(shared_acceptor_base&& other) noexcept {
    if (this != &other) {
      close();
      part_ = std::move(other.part_);
    }
    return *this;
  }
  ~shared_acceptor_base() { close(); }
  std::shared_ptr<shared_acceptor_part> part_;
};

/// The part of the acceptors that does not know the type of the connections.
class COSOCK_API shared_acceptors_base {
 public:
  [[nodiscard]] unsigned size() const noexcept;
  [[nodiscard]] cosock::local_endpoint local_endpoint() const noexcept;

 protected:
  shared_acceptors_base(fd_kind kind, const cosock::local_endpoint& at, std::optional<unsigned> n,
                        const local_acceptor_options& options);
  shared_acceptors_base(fd_kind kind, int descriptor, std::optional<unsigned> n);
  ~shared_acceptors_base();
  shared_acceptors_base(const shared_acceptors_base&) = delete;
  shared_acceptors_base& operator=(const shared_acceptors_base&) = delete;
  std::shared_ptr<shared_acceptor_part> take(unsigned index);

 private:
  friend class cosock::passed_sockets;
  /// A socket that was not taken, and its share in the file. Throws std::logic_error if all were.
  int listening(std::shared_ptr<descriptor_attachment>& file) const;
  std::shared_ptr<accept_rotation> shared_;
};

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the listeners of local sockets for several loops (listeners.hpp) are made of.

#include <cosock/detail/fd_kind.hpp>
#include <cosock/local_endpoint.hpp>
#include <cosock/task.hpp>

#include <memory>

namespace cosock::detail {

class dealer;
struct dealt_part;
class descriptor;

/// The turn of one loop to accept: waits for it when told to, and passes it on in the end.
class COSOCK_API dealt_turn {
 public:
  /// Throws `closed`, or `busy` if there is one for this part.
  explicit dealt_turn(std::shared_ptr<dealt_part> of);
  ~dealt_turn();
  dealt_turn(const dealt_turn&) = delete;
  dealt_turn& operator=(const dealt_turn&) = delete;
  task<> wait();
  descriptor* const& listening() const noexcept;

 private:
  std::shared_ptr<dealt_part> of_;
};

/// The part of a dealt acceptor that does not know the type of its connections.
class COSOCK_API dealt_acceptor {
 public:
  /// Takes no more part in it. A pending accept ends with `error::closed`. The last one of all stops
  /// listening, and removes the file. Idempotent.
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  /// Throws `error::closed`.
  [[nodiscard]] cosock::local_endpoint local_endpoint() const;

 protected:
  dealt_acceptor() noexcept = default;
  explicit dealt_acceptor(std::shared_ptr<dealt_part> part) noexcept : part_(std::move(part)) {}
  dealt_acceptor(dealt_acceptor&&) noexcept = default;
  dealt_acceptor& operator=(dealt_acceptor&& other) noexcept {
    if (this != &other) {
      close();
      part_ = std::move(other.part_);
    }
    return *this;
  }
  ~dealt_acceptor() { close(); }
  std::shared_ptr<dealt_part> part_;
};

/// The part of the listeners that does not know the type of the connections.
class COSOCK_API dealing_listeners {
 public:
  [[nodiscard]] unsigned size() const noexcept;
  [[nodiscard]] cosock::local_endpoint local_endpoint() const noexcept;

 protected:
  dealing_listeners(fd_kind kind, const cosock::local_endpoint& at, unsigned n, int backlog, int mode,
                    bool replace_stale);
  ~dealing_listeners();
  dealing_listeners(const dealing_listeners&) = delete;
  dealing_listeners& operator=(const dealing_listeners&) = delete;
  std::shared_ptr<dealt_part> take(unsigned index);

 private:
  std::shared_ptr<dealer> shared_;
};

}  // namespace cosock::detail

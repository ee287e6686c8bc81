// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Names and files of local sockets, for the classes of local sockets and for local_acceptors.

#include <cosock/local_endpoint.hpp>

#include "net/socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <memory>

namespace cosock::detail {

/// The address of a local socket as the system has it, in both directions.
struct local_address {
  sockaddr_un storage = {};
  socklen_t size = sizeof storage;

  local_address() = default;
  explicit local_address(const local_endpoint&) noexcept;
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  local_endpoint to_endpoint() const noexcept;
};

template <>
struct system_name<local_endpoint> {
  using type = local_address;
};

/// The file that binding a socket made. Removes it when destroyed, if it is still the same one, and
/// in the process that made it: a child that was forked has copies of its parent's objects. Destroy
/// it before the socket is closed: until then nobody takes the file for a stale one, and its inode
/// cannot be another file's.
class local_binding final : public descriptor_attachment {
 public:
  local_binding(const local_endpoint& endpoint) noexcept : endpoint_(endpoint) {}
  ~local_binding() override;
  local_binding(const local_binding&) = delete;
  local_binding& operator=(const local_binding&) = delete;

  /// Leaves the file alone from now on.
  void forget() noexcept override { made_ = false; }

 private:
  friend std::unique_ptr<local_binding> bind_local(int, const local_endpoint&, int, bool);
  void note() noexcept;
  local_endpoint endpoint_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  pid_t maker_ = 0;
  bool made_ = false;
};

/// Binds a socket of any type to a name: unnamed, the system picks an abstract one. Returns the
/// binding, which must be destroyed before the socket is closed; null if there is no file.
///
/// A file gets exactly these mode bits, and at no time more. A socket file in its place to which no
/// socket is bound any more is replaced, if `replace` and if it belongs to this user or this user is
/// root; else, and for any other file, address_in_use. Throws system_error with the name in what().
std::unique_ptr<local_binding> bind_local(int fd, const local_endpoint& at, int mode, bool replace);

}  // namespace cosock::detail

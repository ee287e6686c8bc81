// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "detail/descriptor.hpp"
#include "detail/system.hpp"

#include <sys/socket.h>

// What the sockets' setters and getters share: errors are thrown, `closed` for a closed socket.

namespace cosock::detail {

inline int handle_of(const descriptor* of) {
  if (!of || !of->is_open()) raise(closed_failure());
  return of->fd();
}

template <class T>
void set(const descriptor* of, int level, int name, const T& value) {
  if (::setsockopt(handle_of(of), level, name, &value, sizeof value) != 0)
    raise(system_failure(errno));
}

template <class T = int>
T get(const descriptor* of, int level, int name) {
  T value{};
  socklen_t size = sizeof value;
  if (::getsockopt(handle_of(of), level, name, &value, &size) != 0) raise(system_failure(errno));
  return value;
}

using name_function = int(int, sockaddr*, socklen_t*);

inline endpoint name_of(const descriptor* of, name_function* ask) {
  system_address name;
  if (ask(handle_of(of), name.get(), &name.size) != 0) raise(system_failure(errno));
  return name.to_endpoint();
}

/// Throws errno, with the address in front, for a result that is not 0.
inline void check(int result, const endpoint& at) {
  if (result != 0) raise(system_failure(errno), at.to_string());
}

/// Makes a descriptor that comes from elsewhere non-blocking and close-on-exec, after a look at its
/// type.
void take_over(int fd, int type);

}  // namespace cosock::detail

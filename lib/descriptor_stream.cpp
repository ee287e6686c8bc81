// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/descriptor_stream.hpp>

#include "detail/descriptor.hpp"
#include "detail/standard_numbers.hpp"
#include "detail/system.hpp"

#include <fcntl.h>
#include <sys/epoll.h>

namespace cosock {

using detail::descriptor;
using detail::medium;
using detail::system_failure;

namespace {

/// Regular files, and devices such as /dev/null, are always ready, and epoll takes none of them.
medium medium_of(int fd) {
  const auto probe = unique_descriptor::adopt(detail::above_standard(::epoll_create1(EPOLL_CLOEXEC)));
  epoll_event event = {};
  if (probe.get() >= 0 && ::epoll_ctl(probe.get(), EPOLL_CTL_ADD, fd, &event) == 0)
    return medium::other;
  if (errno == EPERM) return medium::file;
  detail::raise(system_failure(errno));
}

descriptor* of(detail::source* source) noexcept { return static_cast<descriptor*>(source); }

}  // namespace

descriptor_stream::descriptor_stream(descriptor_stream&& other) noexcept
    : byte_stream(std::exchange(other.source_, nullptr)) {}

descriptor_stream& descriptor_stream::operator=(descriptor_stream&& other) noexcept {
  if (this != &other) {
    close();
    source_ = std::exchange(other.source_, nullptr);
  }
  return *this;
}

descriptor_stream::~descriptor_stream() { close(); }

descriptor_stream descriptor_stream::adopt(int fd) {
  auto taken = unique_descriptor::adopt(fd);
  detail::engine& on = detail::engine::required();
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) detail::raise(system_failure(errno));
  const medium what = medium_of(fd);
  return descriptor_stream(descriptor::open(on, taken.release(), what, true));
}

descriptor_stream descriptor_stream::duplicate(int fd) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, detail::last_standard_number + 1);
  if (own < 0) detail::raise(system_failure(errno));
  return adopt(own);
}

void descriptor_stream::shutdown_send() {
  detail::raise(is_open() ? system_failure(EOPNOTSUPP) : detail::closed_failure());
}

void descriptor_stream::close() noexcept {
  if (source_) of(std::exchange(source_, nullptr))->close();
}

int descriptor_stream::native_handle() const noexcept {
  return is_open() ? of(source_)->fd() : -1;
}

descriptor_stream standard_input() { return descriptor_stream::duplicate(0); }
descriptor_stream standard_output() { return descriptor_stream::duplicate(1); }

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The list of sockets that go to a new process. It owns duplicates of them, and shares in the files of
// local sockets, so that no file is removed while the new process starts.

#include <cosock/hand_over.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "io/descriptor.hpp"
#include "net/socket.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace cosock {

namespace {

constexpr std::size_t max_name = 255;

/// The rule of sd_listen_fds(3).
bool is_name(std::string_view name) noexcept {
  const auto is_allowed = [](char c) { return c >= ' ' && c <= '~' && c != ':'; };
  return !name.empty() && name.size() <= max_name &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

}  // namespace

passed_sockets::passed_sockets() noexcept = default;
passed_sockets::passed_sockets(passed_sockets&&) noexcept = default;
passed_sockets& passed_sockets::operator=(passed_sockets&&) noexcept = default;
passed_sockets::~passed_sockets() = default;

void passed_sockets::clear() noexcept { sockets_.clear(); }

void passed_sockets::add(std::string_view name, int fd,
                         std::shared_ptr<detail::descriptor_attachment> file) {
  if (!is_name(name))
    detail::raise(detail::system_failure(EINVAL),
                  "the name of a socket is " + detail::in_quotes(name) +
                      "; accepted: 1 to 255 printable ASCII characters without a colon");
  const auto refuse = [&](int error) {
    detail::raise(detail::system_failure(error), "the socket " + detail::in_quotes(name));
  };
  if (fd < 0) refuse(EBADF);
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) refuse(errno);
  sockets_.push_back({std::string(name), detail::duplicate(fd), std::move(file)});
}

void passed_sockets::add(std::string_view name, int fd, const detail::io_object* object) {
  std::shared_ptr<detail::descriptor_attachment> file;
  if (const auto* const open = dynamic_cast<const detail::descriptor*>(object))
    file = open->attachment();
  add(name, fd, std::move(file));
}

void passed_sockets::add(std::string_view name, const tcp_acceptors& acceptors) {
  bool added = false;
  for (const unique_descriptor& socket : acceptors.sockets_) {
    if (!socket.is_open()) continue;
    add(name, socket.get(), nullptr);
    added = true;
  }
  if (!added)
    throw std::logic_error("cosock: all acceptors were taken: pass the sockets on before");
}

void passed_sockets::add_shared(std::string_view name,
                                const detail::shared_acceptors_base& acceptors) {
  std::shared_ptr<detail::descriptor_attachment> file;
  const int fd = acceptors.listening(file);
  add(name, fd, std::move(file));
}

}  // namespace cosock

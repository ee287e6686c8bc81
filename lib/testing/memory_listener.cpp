// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/memory_listener.hpp>

#include "core/text.hpp"

#include <cosock/error.hpp>

#include <boost/system/system_error.hpp>

#include <stdexcept>

namespace cosock::testing {

namespace {

std::size_t checked(std::size_t backlog) {
  if (backlog == 0)
    throw std::invalid_argument("memory_listener_options::backlog is 0; it is at least 1");
  return backlog;
}

}  // namespace

memory_listener::memory_listener(const memory_listener_options& options)
    : arrivals_(checked(options.backlog)), connection_(options.connection) {
  if (connection_.room == 0 || connection_.piece == std::size_t{0})
    throw std::invalid_argument(
        "memory_listener_options::connection has a room or piece of 0; both are at least 1");
}

memory_listener::~memory_listener() { close(); }

task<memory_stream> memory_listener::accept() {
  std::optional<arrival> next = co_await arrivals_.receive();
  if (!next) throw boost::system::system_error(make_error_code(error::closed));
  if (const auto* error = std::get_if<boost::system::error_code>(&*next))
    throw boost::system::system_error(*error);
  co_return std::get<memory_stream>(std::move(*next));
}

task<memory_stream> memory_listener::connect() {
  auto [client, server] = memory_pair(connection_);
  arrival one(std::move(server));
  const auto sent = co_await as_result(arrivals_.send(std::move(one)));
  if (sent.has_error())
    throw boost::system::system_error(sent.error() == error::closed
                                          ? make_error_code(boost::system::errc::connection_refused)
                                          : sent.error());
  co_return std::move(client);
}

void memory_listener::fail(boost::system::error_code error) {
  if (!open_) throw boost::system::system_error(make_error_code(cosock::error::closed));
  if (!arrivals_.try_send(arrival(error)))
    throw std::length_error("the backlog of a memory_listener is full, with " +
                            cosock::detail::counted(arrivals_.capacity(), "connection"));
}

void memory_listener::close() noexcept {
  if (!open_) return;
  open_ = false;
  arrivals_.close();
  while (arrivals_.try_receive()) {
  }
}

}  // namespace cosock::testing

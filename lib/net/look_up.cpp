// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The addresses that connect() and connect_udp() try, in their order, as the look-ups of both
// families complete.

#include "net/look_up.hpp"

#include "core/failure.hpp"
#include "net/hosts.hpp"

#include <cosock/cancel.hpp>

#include <chrono>

namespace cosock::detail {

namespace {

/// RFC 8305, section 3: Resolution Delay.
constexpr auto resolution_delay = std::chrono::milliseconds(50);

}  // namespace

void candidates::add(const std::vector<endpoint>& found) {
  const auto is_v6 = [](const endpoint& e) { return e.address().unmapped().is_v6(); };
  if (!found.empty() && this->found() == 0) v6_is_next_ = is_v6(found.front());
  for (const endpoint& entry : found) (is_v6(entry) ? v6_ : v4_).all.push_back(entry);
}

task<> candidates::ask(family wanted) {
  of_family& lookup = wanted == family::v6 ? v6_ : v4_;
  try {
    lookup.all = co_await resolve(host_, service_, {.family = wanted});
  } catch (const boost::system::system_error& e) {
    if (e.code() == error::cancelled) throw;
    lookup.failure = std::current_exception();
  }
  lookup.awaited = false;
  answer_.set();
}

task<> candidates::look_up(nursery& in, std::string host, std::string service, family wanted) {
  if (wanted != family::any || !needs_server(host, wanted)) {
    const std::vector<endpoint> found =
        co_await resolve(std::move(host), std::move(service), {.family = wanted});
    add(found);
    co_return;
  }
  host_ = std::move(host);
  service_ = std::move(service);
  v6_.awaited = v4_.awaited = true;
  const auto child = [this](family wanted) { return ask(wanted); };
  in.start(child, family::v6);
  in.start(child, family::v4);

  v6_is_next_ = !is_v4_preferred();
  of_family& first = v6_is_next_ ? v6_ : v4_;
  of_family& second = v6_is_next_ ? v4_ : v6_;
  while (first.awaited && second.awaited) {
    answer_.reset();
    co_await answer_.wait();
  }
  if (!first.awaited || second.all.empty()) co_return;
  answer_.reset();
  const auto in_time = co_await as_result(with_timeout(resolution_delay, answer_.wait()));
  if (in_time.has_error() && in_time.error() == error::cancelled)
    detail::raise(cancelled_failure());
}

task<std::optional<endpoint>> candidates::next() {
  while (!v6_.has_next() && !v4_.has_next()) {
    if (!more()) co_return std::nullopt;
    answer_.reset();
    co_await answer_.wait();
  }
  // Address families take turns (RFC 8305, section 4).
  const bool v6 = v6_is_next_ ? v6_.has_next() : !v4_.has_next();
  v6_is_next_ = !v6;
  of_family& from = v6 ? v6_ : v4_;
  co_return from.all[from.tried++];
}

void candidates::raise() const {
  // "No address" of one family must not hide an error of the look-up of the other.
  const bool unknown = to_error_code(failure_of(v4_.failure)) == error::host_not_found;
  std::rethrow_exception(unknown ? v6_.failure : v4_.failure);
}

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The guards of serve() against many, slow and unwanted peers: filter, connections of a peer, accept rate,
// first byte.
// Called by the accept loop and the handlers of one server, on its loop.

#include <cosock/serve.hpp>

#include "core/failure.hpp"
#include "core/scheduler.hpp"
#include "io/byte_counter.hpp"
#include "service/peer_table.hpp"

#include <cosock/time.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>

namespace cosock::detail {

struct serve_state::guards {
  peer_table peers;
  std::optional<rate_limit> accept_rate;
};

void serve_state::guards_deleter::operator()(guards* g) const noexcept { delete g; }

void serve_state::open_guards() {
  if (options_.max_per_peer == std::size_t{0})
    throw std::invalid_argument("cosock: serve_options::max_per_peer is 0; it is at least 1");
  if (options_.accept_rate == 0u)
    throw std::invalid_argument("cosock: serve_options::accept_rate is 0; it is at least 1");
  if (options_.first_byte.count() <= 0)
    throw std::invalid_argument("cosock: serve_options::first_byte is " +
                                std::to_string(options_.first_byte.count()) +
                                " ns; it is more than 0");
  if (!options_.max_per_peer && !options_.accept_rate && options_.first_byte.is_unlimited()) return;
  guards_.reset(new guards);
  if (options_.accept_rate) guards_->accept_rate.emplace(*options_.accept_rate);
}

bool serve_state::has_filter() const noexcept { return !options_.filter.is_empty(); }

void serve_state::refuse_filter() const {
  throw std::logic_error(
      "cosock: serve_options::" + std::string(has_filter() ? "filter is" : "max_per_peer is") +
      " for connections with remote_endpoint()");
}

bool serve_state::admits(const endpoint& peer) noexcept {
  if (options_.filter.permits(peer.address())) return true;
  try {
    raise(own_failure(error::address_denied), "connection from " + peer.to_string());
  } catch (...) {
    denied();
  }
  return false;
}

void serve_state::denied() noexcept {
  ++handle_.counters_.denied;
  report(std::current_exception());
}

bool serve_state::is_paced() const noexcept { return options_.accept_rate.has_value(); }

task<> serve_state::pace() {
  while (!guards_->accept_rate->try_take(1))
    co_await sleep_for(std::chrono::nanoseconds(guards_->accept_rate->wait_for(1)));
}

bool serve_state::limits_peers() const noexcept { return options_.max_per_peer.has_value(); }

bool serve_state::is_counted(const address& peer) const noexcept {
  return std::none_of(options_.not_counted.begin(), options_.not_counted.end(),
                      [&](const address_range& range) { return range.contains(peer); });
}

owner<first_byte_watch> serve_state::watch_first_byte(const byte_stream& connection) {
  io_object* const object = stream_access::object_of(connection);
  if (options_.first_byte.is_unlimited() || !object || !object->loop) return {};
  return std::make_unique<first_byte_watch>(*this, *object, options_.first_byte.count());
}

/// Memory may be missing: the peer is not reported then.
void serve_state::count_peer(std::uint64_t serve_counters::*which, const address* peer,
                             const char* what, const failure& why) noexcept {
  ++(handle_.counters_.*which);
  if (!peer) return;
  try {
    if (!guards_->peers.may_report(peer_table::key_of(*peer), current_time(),
                                   std::max<std::int64_t>(options_.report_period.count(), 0)))
      return;
    try {
      raise(why, "connections from " + peer->to_string() + ": " + what);
    } catch (...) {
      report(std::current_exception());
    }
  } catch (...) {
    return;
  }
}

bool serve_state::enter_peer(const address& peer, std::optional<std::uint64_t>& key) noexcept {
  if (!limits_peers()) return true;
  const std::uint64_t own = peer_table::key_of(peer);
  try {
    if (guards_->peers.enter(own, *options_.max_per_peer)) {
      key = own;
      return true;
    }
  } catch (...) {
    // No memory to count it: refused.
  }
  count_peer(&serve_counters::refused, &peer, "more than max_per_peer",
             system_failure(ECONNREFUSED));
  return false;
}

void serve_state::leave_peer(std::uint64_t key) noexcept { guards_->peers.leave(key); }

void serve_state::found_silent(const endpoint* peer) noexcept {
  count_peer(&serve_counters::silent, peer ? &peer->address() : nullptr,
             "no byte within first_byte", own_failure(error::timed_out));
}

bool peer_place::enter(const address& peer) noexcept {
  leave();
  return server_->enter_peer(peer, key_);
}

void peer_place::leave() noexcept {
  if (key_) server_->leave_peer(*std::exchange(key_, std::nullopt));
}

bool count_for(peer_place& place, const address& source) noexcept { return place.enter(source); }

first_byte_watch::first_byte_watch(serve_state& server, io_object& connection, std::int64_t limit)
    : server_(server),
      counter_(new byte_counter),
      at_(later(current_time(*connection.loop), limit)) {
  connection.count_into(*counter_);
}

first_byte_watch::~first_byte_watch() { counter_->drop(); }

void first_byte_watch::begin(cancellable& handler, const endpoint* peer) noexcept {
  handler_ = &handler;
  peer_ = peer;
  start_timer(scheduler::required(), at_);
}

void first_byte_watch::expire() noexcept {
  // A connection that was released, and is only counted here, may receive elsewhere.
  if (counter_->all_in() != 0 || counter_->shares == 1) return;
  ended_ = true;
  server_.found_silent(peer_);
  handler_->cancel();
}

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Every promise of byte_stream, held by TLS over TCP, local sockets, memory and lockstep, and by TLS over
// TLS.

#include <cosock/tls.hpp>

#define BOOST_TEST_MODULE tls_conformance
#include "stream_conformance.hpp"
#include "tls_fixture.hpp"

#include <cosock/connect.hpp>

#include <memory>

namespace {

using cosock::byte_stream;
using cosock::task;
using cosock::tcp_socket;
using cosock::tls_stream;
using test::client_context;
using test::register_suite;
using test::server_context;
using test::stream_pair;
using test::stream_traits;

task<stream_pair> secured(std::unique_ptr<byte_stream> one, std::unique_ptr<byte_stream> other) {
  auto made = co_await test::shake_hands(client_context(), server_context(), std::move(one),
                                         std::move(other));
  co_return stream_pair(std::make_unique<tls_stream>(std::move(made.client)),
                        std::make_unique<tls_stream>(std::move(made.server)));
}

task<stream_pair> over_tcp() {
  cosock::tcp_acceptor acceptor(cosock::endpoint(cosock::address::loopback_v4(), 0));
  auto [one, other] =
      co_await cosock::when_all(cosock::connect(acceptor.local_endpoint()), acceptor.accept());
  co_return co_await secured(std::make_unique<tcp_socket>(std::move(one)),
                             std::make_unique<tcp_socket>(std::move(other)));
}

task<stream_pair> over_local() {
  auto [one, other] = cosock::local_pair();
  co_return co_await secured(std::make_unique<cosock::local_stream_socket>(std::move(one)),
                             std::make_unique<cosock::local_stream_socket>(std::move(other)));
}

task<stream_pair> over_memory() {
  auto ends = co_await test::make_memory_pair();
  co_return co_await secured(std::move(ends.first), std::move(ends.second));
}

/// A send of the transport completes only when the peer receives, so one of TLS does too.
task<stream_pair> over_lockstep() {
  auto [one, other] = cosock::testing::lockstep_pair();
  co_return co_await secured(std::make_unique<test::memory_stream>(std::move(one)),
                             std::make_unique<test::memory_stream>(std::move(other)));
}

task<stream_pair> over_tls() {
  stream_pair below = co_await over_tcp();
  co_return co_await secured(std::move(below.first), std::move(below.second));
}

// A cancelled send reports a record that the transport has taken in part: what is encrypted cannot be taken
// back, and a caller that sends those bytes again would send them twice. If the peer does not receive
// before close(), which does not wait, the rest has no place to go: the record is cut. A socket hands such
// a rest to the system.
const stream_traits traits{.delivers_cancelled_after_close = false};
const register_suite tcp("tls_over_tcp", over_tcp, traits);
const register_suite local("tls_over_local", over_local, traits);
const register_suite memory("tls_over_memory", over_memory, traits);
// close() does not wait, so close_notify has nowhere to go while nobody receives.
const stream_traits in_lockstep{
    .buffers = false, .delivers_cancelled_after_close = false, .ends_after_close = false};
const register_suite lockstep("tls_over_lockstep", over_lockstep, in_lockstep);
const register_suite nested("tls_over_tls", over_tls, traits);

}  // namespace

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/stream.hpp>

#define BOOST_TEST_MODULE stream
#include "stream_conformance.hpp"

#include <cosock/connect.hpp>
#include <cosock/local.hpp>
#include <cosock/tcp.hpp>
#include <cosock/testing/faulty.hpp>
#include <cosock/testing/memory_stream.hpp>

#include <memory>

namespace {

using namespace test;
using cosock::address;
using cosock::byte_stream;
using cosock::endpoint;
using cosock::task;
using cosock::tcp_socket;
using cosock::testing::memory_options;
using cosock::testing::memory_stream;

task<stream_pair> connected(address host, cosock::tcp_acceptor_options accepting,
                            cosock::connect_options connecting) {
  cosock::tcp_acceptor acceptor(endpoint(host, 0), accepting);
  const endpoint at = acceptor.local_endpoint();
  auto [client, server] =
      co_await cosock::when_all(cosock::connect(at, connecting), acceptor.accept());
  co_return stream_pair(std::make_unique<tcp_socket>(std::move(client)),
                        std::make_unique<tcp_socket>(std::move(server)));
}

task<stream_pair> tcp_v4() { return connected(address::loopback_v4(), {}, {}); }
task<stream_pair> tcp_v6() { return connected(address::loopback_v6(), {}, {}); }

/// Small buffers, so that much is partial; smaller than a segment, they would make TCP itself slow.
task<stream_pair> tcp_small() {
  cosock::tcp_acceptor_options accepting;
  accepting.send_buffer = 40000;
  cosock::connect_options connecting;
  connecting.send_buffer = 40000;
  return connected(address::loopback_v4(), accepting, connecting);
}

template <class Socket>
task<stream_pair> local() {
  auto [one, other] = cosock::local_pair<Socket>();
  co_return stream_pair(std::make_unique<Socket>(std::move(one)),
                        std::make_unique<Socket>(std::move(other)));
}

task<stream_pair> local_small() {
  auto [one, other] = cosock::local_pair();
  one.set_send_buffer(20000);
  other.set_send_buffer(20000);
  co_return stream_pair(std::make_unique<cosock::local_stream_socket>(std::move(one)),
                        std::make_unique<cosock::local_stream_socket>(std::move(other)));
}

task<stream_pair> memory() { co_return cosock::testing::memory_pair(); }
task<stream_pair> memory_small() {
  co_return cosock::testing::memory_pair({.room = 5000, .piece = 700});
}
task<stream_pair> lockstep() { co_return cosock::testing::lockstep_pair(); }

using cosock::testing::fault_plan;
using cosock::testing::faulty;

/// Faulty streams that own another one, and have no faults.
task<stream_pair> over_memory() {
  auto [one, other] = cosock::testing::memory_pair({.room = 5000});
  co_return stream_pair(std::make_unique<faulty>(std::move(one)),
                        std::make_unique<faulty>(std::move(other)));
}
/// That refer to another one, and transfer pieces.
task<stream_pair> over_local() {
  auto [one, other] = cosock::local_pair();
  one.set_send_buffer(20000);
  other.set_send_buffer(20000);
  auto first = std::make_unique<cosock::local_stream_socket>(std::move(one));
  auto second = std::make_unique<cosock::local_stream_socket>(std::move(other));
  const fault_plan plan = {.receive = {.piece = 1500}, .send = {.piece = 900}, .seed = 1};
  stream_pair made(std::make_unique<faulty>(*first, plan), std::make_unique<faulty>(*second, plan));
  made.below.push_back(std::move(first));
  made.below.push_back(std::move(second));
  co_return made;
}

void reset(byte_stream& s) { static_cast<tcp_socket&>(s).abort(); }
void reset_memory(byte_stream& s) { static_cast<memory_stream&>(s).abort(); }

const register_suite v4("tcp_v4", tcp_v4, {.reset = reset});
const register_suite v6("tcp_v6", tcp_v6, {.reset = reset});
const register_suite small("tcp_with_small_buffers", tcp_small, {.reset = reset});
const register_suite local_stream("local_stream", local<cosock::local_stream_socket>);
const register_suite local_small_buffers("local_stream_with_small_buffers", local_small);
const register_suite local_seqpacket("local_seqpacket", local<cosock::local_seqpacket_socket>,
                                     {.bytes = false});
const register_suite of_memory("memory", memory, {.reset = reset_memory});
const register_suite of_small_memory("memory_in_pieces", memory_small, {.reset = reset_memory});
const register_suite of_lockstep("lockstep", lockstep, {.reset = reset_memory, .buffers = false});
const register_suite of_faulty("faulty_without_faults", over_memory);
const register_suite of_faulty_pieces("faulty_in_pieces", over_local, {.owns = false});

}  // namespace

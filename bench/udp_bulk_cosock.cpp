// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Bulk transfer of datagrams with cosock, in batches that the system joins and splits.

#include "udp_bulk.hpp"

#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <vector>

struct totals {
  std::uint64_t datagrams = 0;
  std::uint64_t bytes = 0;
};

void count(const cosock::datagram_batch<>& batch, totals& all) {
  for (const auto& each : batch) {
    all.bytes += each.size();
    ++all.datagrams;
  }
}

cosock::task<> transfer(std::uint64_t rounds) {
  cosock::udp_socket_options joined;
  joined.receive_offload = true;
  cosock::udp_socket to({cosock::address::loopback_v4(), 0}, joined);
  cosock::udp_socket from = co_await cosock::connect_udp(to.local_endpoint());
  static char memory[in_a_round][datagram_bytes];
  const std::vector<cosock::const_buffer> out(std::begin(memory), std::end(memory));
  cosock::datagram_batch in(16);
  const stopwatch watch;
  totals received;
  for (std::uint64_t round = 1; round <= rounds; ++round) {
    co_await from.send_batch(out);
    while (received.datagrams != round * in_a_round) {
      co_await to.receive_batch(in);
      count(in, received);
    }
  }
  watch.report(received.datagrams, received.bytes);
}

int main(int argc, char** argv) { return cosock::run(transfer(rounds_option(argc, argv))); }

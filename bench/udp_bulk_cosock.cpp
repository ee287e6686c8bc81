// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// Bulk transfer of datagrams with cosock, in batches that the system joins and splits.

#include "udp_bulk.hpp"

#include <cosock/run.hpp>
#include <cosock/udp.hpp>

#include <vector>

cosock::task<> transfer(std::uint64_t rounds) {
  cosock::udp_options joined;
  joined.receive_offload = true;
  cosock::udp_socket to({cosock::address::loopback_v4(), 0}, joined);
  cosock::udp_socket from = cosock::udp_socket::connected_to(to.local_endpoint());
  static char memory[in_a_round][datagram_bytes];
  const std::vector<cosock::const_buffer> out(std::begin(memory), std::end(memory));
  cosock::datagram_batch in(16);
  const stopwatch watch;
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    co_await from.send_batch(out);
    for (std::size_t left = in_a_round; left > 0;) {
      co_await to.receive_batch(in);
      for (const auto& each : in) {
        bytes += each.size();
        ++received;
        --left;
      }
    }
  }
  watch.report(received, bytes);
}

int main(int argc, char** argv) { return cosock::run(transfer(rounds_option(argc, argv))); }

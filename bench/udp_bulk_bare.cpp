// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
//
// The floor for bulk transfer of datagrams: UDP_SEGMENT on one side, UDP_GRO on the other.

#include "udp_bulk.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cstring>

namespace {

int check(int result, const char* what) {
  if (result < 0) {
    std::perror(what);
    std::exit(1);
  }
  return result;
}

char out[2][in_a_message * datagram_bytes];
char in[16][65536];
struct alignas(cmsghdr) control {
  char bytes[CMSG_SPACE(sizeof(int))];
} controls[16];

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t rounds = rounds_option(argc, argv);
  const int to = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  const int from = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  check(bind(to, reinterpret_cast<sockaddr*>(&at), size), "bind");
  check(getsockname(to, reinterpret_cast<sockaddr*>(&at), &size), "getsockname");
  check(connect(from, reinterpret_cast<sockaddr*>(&at), size), "connect");
  const int on = 1;
  check(setsockopt(to, SOL_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");

  iovec out_pieces[2];
  mmsghdr out_headers[2] = {};
  control out_controls[2] = {};
  for (int i = 0; i < 2; ++i) {
    out_pieces[i] = {out[i], sizeof out[i]};
    msghdr& m = out_headers[i].msg_hdr;
    m = {nullptr, 0, &out_pieces[i], 1, &out_controls[i], CMSG_SPACE(sizeof(std::uint16_t)), 0};
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const std::uint16_t segment = datagram_bytes;
    std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
  }
  iovec in_pieces[16];
  mmsghdr in_headers[16] = {};

  const stopwatch watch;
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    check(sendmmsg(from, out_headers, 2, 0), "sendmmsg");
    for (std::size_t left = in_a_round; left > 0;) {
      for (int i = 0; i < 16; ++i) {
        in_pieces[i] = {in[i], sizeof in[i]};
        in_headers[i].msg_hdr = {nullptr, 0, &in_pieces[i], 1, &controls[i], sizeof controls[i], 0};
      }
      const int n = check(recvmmsg(to, in_headers, 16, MSG_DONTWAIT, nullptr), "recvmmsg");
      for (int i = 0; i < n; ++i) {
        std::size_t segment = in_headers[i].msg_len;
        if (const cmsghdr* c = CMSG_FIRSTHDR(&in_headers[i].msg_hdr)) {
          int told;
          std::memcpy(&told, CMSG_DATA(c), sizeof told);
          segment = static_cast<std::size_t>(told);
        }
        for (std::size_t at = 0; at < in_headers[i].msg_len; at += segment) {
          bytes += segment;
          ++received;
          --left;
        }
      }
    }
  }
  watch.report(received, bytes);
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A chat without a server: sends each line of its standard input to a multicast group, and prints
// the lines of all members of the group, its own included. When its input has ended, it waits until
// it has received nothing for one second, and exits.
//
//   multicast_chat GROUP PORT [INTERFACE]        such as 239.7.7.7 7007 lo, or ff02::7%eth0 7007

#include <cosock/cancel.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/error.hpp>
#include <cosock/reader.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "text.hpp"

using namespace std::chrono_literals;

constexpr std::size_t max_line = 1024;

cosock::task<> send_input(cosock::udp_socket& socket, cosock::endpoint group, bool& input_ended) {
  auto input = cosock::descriptor_stream::standard_input();
  cosock::buffered_reader reader(input, {.max_line = max_line, .unterminated_line = true});
  while (const auto line = co_await reader.read_line()) co_await socket.send_to(*line, group);
  input_ended = true;
}

cosock::task<> print_lines(cosock::udp_socket& socket, const bool& input_ended) {
  char buffer[max_line];
  for (;;) {
    try {
      const auto received = co_await cosock::with_timeout(1s, socket.receive_from(buffer));
      const std::string line = printable(std::string_view(buffer, received.size));
      std::printf("%s: %s\n", received.from.to_string().c_str(), line.c_str());
      std::fflush(stdout);
    } catch (const boost::system::system_error& e) {
      if (e.code() != cosock::error::timed_out) throw;
      if (input_ended) co_return;
    }
  }
}

cosock::task<> chat(cosock::endpoint group, cosock::network_interface interface) {
  cosock::udp_socket_options options;
  options.reuse_address = true;  // several members may run on one machine
  cosock::udp_socket socket(group, options);
  socket.join(group.address(), interface);
  socket.set_multicast_interface(interface);
  bool input_ended = false;
  co_await cosock::when_all(send_input(socket, group, input_ended),
                            print_lines(socket, input_ended));
}

int main(int argc, char** argv) {
  const std::string usage = "usage: multicast_chat GROUP PORT [INTERFACE]";
  if (argc != 3 && argc != 4) return cosock::usage_error(usage);
  try {
    const cosock::endpoint group(cosock::address::parse(argv[1]),
                                 cosock::endpoint::parse_port(argv[2]));
    if (!group.address().is_multicast())
      return cosock::usage_error(std::string(argv[1]) + " is not the address of a multicast group");
    cosock::network_interface interface;
    if (argc == 4) interface = cosock::network_interface::by_name(argv[3]);
    return cosock::run(chat(group, interface));
  } catch (const std::exception& e) {
    return cosock::usage_error(std::string(e.what()) + ", " + usage);
  }
}

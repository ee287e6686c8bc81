// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Says each line of its standard input to a multicast group, and prints what anybody says there,
// itself included. Ends when its input has ended and nothing was heard for a second.
//
//   multicast_chat GROUP PORT [INTERFACE]        say, 239.7.7.7 7007 lo, or ff02::7%eth0 7007

#include <cosock/cancel.hpp>
#include <cosock/descriptor_stream.hpp>
#include <cosock/error.hpp>
#include <cosock/run.hpp>
#include <cosock/udp.hpp>
#include <cosock/when.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

using namespace std::chrono_literals;

cosock::task<> say(cosock::udp_socket& socket, cosock::endpoint group, bool& over) {
  cosock::descriptor_stream input = cosock::standard_input();
  char buffer[1024];
  while (std::size_t n = co_await input.receive(buffer))
    co_await socket.send_to(cosock::buffer(buffer, n), group);
  over = true;
}

cosock::task<> hear(cosock::udp_socket& socket, const bool& over) {
  char buffer[1024];
  for (;;) {
    try {
      const auto heard = co_await cosock::with_timeout(1s, socket.receive_from(buffer));
      std::printf("%s: %.*s", heard.from.to_string().c_str(), static_cast<int>(heard.size), buffer);
      std::fflush(stdout);
    } catch (const boost::system::system_error& e) {
      if (e.code() != cosock::error::timed_out) throw;
      if (over) co_return;
    }
  }
}

cosock::task<> chat(cosock::endpoint group, cosock::network_interface on) {
  cosock::udp_options options;
  options.reuse_address = true;  // several members on one machine
  cosock::udp_socket socket(group, options);
  socket.join(group.address(), on);
  socket.set_multicast_interface(on);
  bool over = false;
  co_await cosock::when_all(say(socket, group, over), hear(socket, over));
}

int main(int argc, char** argv) {
  const std::string usage = "usage: multicast_chat GROUP PORT [INTERFACE]";
  if (argc != 3 && argc != 4) return cosock::usage_error(usage);
  try {
    const cosock::endpoint group(cosock::address::parse(argv[1]), cosock::parse_port(argv[2]));
    if (!group.address().is_multicast())
      return cosock::usage_error(std::string(argv[1]) + " is not the address of a multicast group");
    cosock::network_interface on;
    if (argc == 4) on = cosock::network_interface::by_name(argv[3]);
    return cosock::run(chat(group, on));
  } catch (const std::exception& e) {
    return cosock::usage_error(std::string(e.what()) + ", " + usage);
  }
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the sample servers: [--host ADDR] [--port PORT].

#include <cosock/address.hpp>
#include <cosock/run.hpp>

#include <cstdlib>
#include <exception>
#include <string>

/// Where to listen. Ends the program with status 2 for options that say nothing of the kind.
inline cosock::endpoint endpoint_option(int argc, char** argv) {
  const auto refuse = [](const std::string& why) {
    std::exit(cosock::usage_error(why + ", usage: [--host ADDR] [--port PORT]"));
  };
  cosock::address host = cosock::address::loopback_v4();
  std::uint16_t port = 7000;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (option != "--host" && option != "--port") refuse("unknown option " + option);
    if (i + 1 == argc) refuse(option + " needs a value");
    try {
      if (option == "--host")
        host = cosock::address::parse(argv[i + 1]);
      else
        port = cosock::parse_port(argv[i + 1]);
    } catch (const std::exception& e) {
      refuse(option + ' ' + e.what());
    }
  }
  return {host, port};
}

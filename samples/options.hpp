// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the sample servers: [--host ADDR] [--port PORT], and more for some.

#include <cosock/address.hpp>
#include <cosock/run.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

/// An option, and what is to be done with its value: throws if that is none.
struct option {
  std::string name;
  std::string value;  // as the usage message calls it
  std::function<void(const char*)> set;
};

/// Where to listen. Ends the program with status 2 for options that say nothing of the kind.
inline cosock::endpoint endpoint_option(int argc, char** argv, std::vector<option> more = {}) {
  cosock::address host = cosock::address::loopback_v4();
  std::uint16_t port = 7000;
  std::vector<option> all = {
      {"--host", "ADDR", [&](const char* text) { host = cosock::address::parse(text); }},
      {"--port", "PORT", [&](const char* text) { port = cosock::parse_port(text); }},
  };
  all.insert(all.end(), more.begin(), more.end());
  const auto refuse = [&](std::string why) {
    why += ", usage:";
    for (const option& each : all) why += " [" + each.name + ' ' + each.value + ']';
    std::exit(cosock::usage_error(why));
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const auto known =
        std::find_if(all.begin(), all.end(), [&](const option& each) { return each.name == name; });
    if (known == all.end()) refuse("unknown option " + name);
    if (i + 1 == argc) refuse(name + " needs a value");
    try {
      known->set(argv[i + 1]);
    } catch (const std::exception& e) {
      refuse(name + ' ' + e.what());
    }
  }
  return {host, port};
}

/// An option whose value is a number in a range.
inline option number_option(std::string name, unsigned& number, unsigned least, unsigned most) {
  return {name, "N", [&number, least, most](const char* text) {
            const char* const end = text + std::strlen(text);
            const auto [stop, error] = std::from_chars(text, end, number);
            if (error == std::errc() && stop == end && number >= least && number <= most) return;
            throw std::invalid_argument('"' + std::string(text) + "\": not a number from " +
                                        std::to_string(least) + " to " + std::to_string(most));
          }};
}

/// Says where a server listens, so that whoever started it knows.
inline void announce(const cosock::endpoint& at) {
  std::printf("listening on %s\n", at.to_string().c_str());
  std::fflush(stdout);
}

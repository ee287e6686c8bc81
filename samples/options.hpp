// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the samples: [--host ADDR] [--port PORT] for servers, and more for some, and
// the PORT of clients.

#include <cosock/address.hpp>
#include <cosock/run.hpp>

#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <chrono>
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

[[noreturn]] inline void refuse_value(const char* text, const std::string& why) {
  throw std::invalid_argument('"' + std::string(text) + "\": " + why);
}

/// Reads the command line. Ends the program with status 2 for one that is not understood.
inline void read_options(int argc, char** argv, const std::vector<option>& all) {
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
}

/// Where to listen.
inline cosock::endpoint endpoint_option(int argc, char** argv, std::vector<option> more = {}) {
  cosock::address host = cosock::address::loopback_v4();
  std::uint16_t port = 7000;
  const auto set_host = [&](const char* text) {
    if (!cosock::address::try_parse(text, host))
      refuse_value(text, "not an address, as 127.0.0.1 or ::1");
  };
  const auto set_port = [&](const char* text) { port = cosock::parse_port(text); };
  std::vector<option> all = {{"--host", "ADDR", set_host}, {"--port", "PORT", set_port}};
  all.insert(all.end(), more.begin(), more.end());
  read_options(argc, argv, all);
  return {host, port};
}

/// An option whose value is a number in a range.
inline option number_option(std::string name, unsigned& number, unsigned least, unsigned most) {
  return {name, "N", [&number, least, most](const char* text) {
            const char* const end = text + std::strlen(text);
            const auto [stop, error] = std::from_chars(text, end, number);
            if (error == std::errc() && stop == end && number >= least && number <= most) return;
            refuse_value(text, "not a number from " + std::to_string(least) + " to " +
                                   std::to_string(most));
          }};
}

/// An option whose value is a time, 60 or 0.5 seconds say. The default is what `time` is.
inline option seconds_option(std::string name, std::chrono::milliseconds& time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return {name, "SECONDS, default " + std::to_string(seconds), [&time](const char* text) {
            const char* const end = text + std::strlen(text);
            double given = 0;
            const auto [stop, error] = std::from_chars(text, end, given);
            if (error != std::errc() || stop != end || !(given >= 0.01 && given <= 86400))
              refuse_value(text, "not a number of seconds from 0.01 to 86400");
            time = std::chrono::milliseconds(static_cast<long>(given * 1000));
          }};
}

/// The PORT of a client, a number or the name of a service. Ends the program with status 2 for
/// anything else.
inline std::string port_argument(const char* text) {
  try {
    if (!::getservbyname(text, nullptr)) (void)cosock::parse_port(text);
  } catch (const std::exception& e) {
    std::exit(cosock::usage_error(e.what() + std::string(", nor a known service")));
  }
  return text;
}

/// Says where a server listens, so that whoever started it knows.
inline void announce(const cosock::endpoint& at) {
  std::printf("listening on %s\n", at.to_string().c_str());
  std::fflush(stdout);
}

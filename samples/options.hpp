// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the samples: options such as --host ADDR and --port PORT of the servers, and
// the PORT argument of the clients.

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

/// An option with a value. `set` stores the value, or throws if it is invalid.
struct option {
  std::string name;
  std::string value;  // its name in the usage message
  std::function<void(const char*)> set;
};

[[noreturn]] inline void refuse_value(const char* text, const std::string& reason) {
  throw std::invalid_argument('"' + std::string(text) + "\": " + reason);
}

/// Reads the command line. Prints the usage and exits with status 2 if an argument is invalid.
inline void read_options(int argc, char** argv, const std::vector<option>& options) {
  const auto refuse = [&](std::string message) {
    message += ", usage:";
    for (const option& known : options) message += " [" + known.name + ' ' + known.value + ']';
    std::exit(cosock::usage_error(message));
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const auto found = std::find_if(options.begin(), options.end(),
                                    [&](const option& known) { return known.name == name; });
    if (found == options.end()) refuse("unknown option " + name);
    if (i + 1 == argc) refuse(name + " needs a value");
    try {
      found->set(argv[i + 1]);
    } catch (const std::exception& e) {
      refuse(name + ' ' + e.what());
    }
  }
}

/// Reads the command line of a server: --host, --port and its further options. Returns the endpoint
/// to listen on.
inline cosock::endpoint endpoint_option(int argc, char** argv,
                                        const std::vector<option>& further_options = {}) {
  cosock::address host = cosock::address::loopback_v4();
  std::uint16_t port = 7000;
  const auto set_host = [&](const char* text) {
    if (!cosock::address::try_parse(text, host))
      refuse_value(text, "not an address such as 127.0.0.1 or ::1");
  };
  const auto set_port = [&](const char* text) { port = cosock::parse_port(text); };
  std::vector<option> options = {{"--host", "ADDR", set_host}, {"--port", "PORT", set_port}};
  options.insert(options.end(), further_options.begin(), further_options.end());
  read_options(argc, argv, options);
  return {host, port};
}

/// An option whose value is a number from `min` to `max`.
inline option number_option(std::string name, unsigned& number, unsigned min, unsigned max) {
  return {name, "N", [&number, min, max](const char* text) {
            const char* const end = text + std::strlen(text);
            const auto [stop, error] = std::from_chars(text, end, number);
            if (error == std::errc() && stop == end && number >= min && number <= max) return;
            refuse_value(text,
                         "not a number from " + std::to_string(min) + " to " + std::to_string(max));
          }};
}

/// An option whose value is a time in seconds, such as 60 or 0.5. The default is the value that
/// `time` already has.
inline option seconds_option(std::string name, std::chrono::milliseconds& time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return {name, "SECONDS, default " + std::to_string(seconds), [&time](const char* text) {
            const char* const end = text + std::strlen(text);
            double value = 0;
            const auto [stop, error] = std::from_chars(text, end, value);
            if (error != std::errc() || stop != end || !(value >= 0.01 && value <= 86400))
              refuse_value(text, "not a number of seconds from 0.01 to 86400");
            time = std::chrono::milliseconds(static_cast<long>(value * 1000));
          }};
}

/// Checks the PORT argument of a client: a number, or the name of a service. Exits with status 2 if
/// it is invalid.
inline std::string port_argument(const char* text) {
  try {
    if (!::getservbyname(text, nullptr)) (void)cosock::parse_port(text);
  } catch (const std::exception& e) {
    std::exit(cosock::usage_error(e.what() + std::string(", nor a known service")));
  }
  return text;
}

/// Prints the address and port of a server, for the user or the script that started it.
inline void announce(const cosock::endpoint& endpoint) {
  std::printf("listening on %s\n", endpoint.to_string().c_str());
  std::fflush(stdout);
}

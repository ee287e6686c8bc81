// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The command line of the samples; see options.hpp.

#include "options.hpp"

#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace {

[[noreturn]] void refuse_value(const char* text, const std::string& reason) {
  throw std::invalid_argument('"' + std::string(text) + "\": " + reason);
}

template <class Number>
bool parse(const char* text, Number& number) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc() && stop == end;
}

void set_number(const option& o, const char* text) {
  unsigned number = 0;
  if (!parse(text, number) || number < o.min || number > o.max)
    refuse_value(text,
                 "not a number from " + std::to_string(o.min) + " to " + std::to_string(o.max));
  *static_cast<unsigned*>(o.target) = number;
}

void set_seconds(const option& o, const char* text) {
  double seconds = 0;
  if (!parse(text, seconds) || !(seconds >= 0.01 && seconds <= 86400))
    refuse_value(text, "not a number of seconds from 0.01 to 86400");
  *static_cast<std::chrono::milliseconds*>(o.target) =
      std::chrono::milliseconds(static_cast<long>(seconds * 1000));
}

void set_port(const option& o, const char* text) {
  *static_cast<std::uint16_t*>(o.target) = cosock::endpoint::parse_port(text);
}

void set_host(const option& o, const char* text) {
  if (!cosock::address::try_parse(text, *static_cast<cosock::address*>(o.target)))
    refuse_value(text, "not an address such as 127.0.0.1 or ::1");
}

/// The name of the value in the usage, with the default of a time.
std::string value_name(const option& o) {
  if (o.set != set_seconds) return o.value;
  const auto time = *static_cast<const std::chrono::milliseconds*>(o.target);
  return o.value + (", default " + std::to_string(time / std::chrono::seconds(1)));
}

void read(int argc, char** argv, const std::vector<option>& options) {
  std::string usage = ", usage:";
  for (const option& known : options)
    usage += std::string(" [") + known.name + ' ' + value_name(known) + ']';
  const auto refuse = [&](const std::string& message) {
    std::exit(cosock::usage_error(message + usage));
  };
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const auto found = std::find_if(options.begin(), options.end(),
                                    [&](const option& known) { return known.name == name; });
    if (found == options.end()) refuse("unknown option " + name);
    if (i + 1 == argc) refuse(name + " needs a value");
    try {
      found->set(*found, argv[i + 1]);
    } catch (const std::exception& e) {
      refuse(name + ' ' + e.what());
    }
  }
}

}  // namespace

option number_option(const char* name, unsigned& number, unsigned min, unsigned max) {
  return {name, "N", set_number, &number, min, max};
}
option seconds_option(const char* name, std::chrono::milliseconds& time) {
  return {name, "SECONDS", set_seconds, &time};
}
option port_option(const char* name, std::uint16_t& port) {
  return {name, "PORT", set_port, &port};
}
option address_option(const char* name, cosock::address& address) {
  return {name, "ADDR", set_host, &address};
}

void read_options(int argc, char** argv, std::initializer_list<option> options) {
  read(argc, argv, options);
}

cosock::endpoint endpoint_option(int argc, char** argv,
                                 std::initializer_list<option> further_options) {
  cosock::address host = cosock::address::loopback_v4();
  std::uint16_t port = 7000;
  std::vector<option> options = {address_option("--host", host), port_option("--port", port)};
  options.insert(options.end(), further_options.begin(), further_options.end());
  read(argc, argv, options);
  return {host, port};
}

std::string port_argument(const char* text) {
  try {
    if (!::getservbyname(text, nullptr)) static_cast<void>(cosock::endpoint::parse_port(text));
  } catch (const std::exception& e) {
    std::exit(cosock::usage_error(e.what() + std::string(", nor a known service")));
  }
  return text;
}

void announce(const cosock::endpoint& endpoint) {
  std::printf("listening on %s\n", endpoint.to_string().c_str());
  std::fflush(stdout);
}

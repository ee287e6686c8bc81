// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The command line of the samples: options such as --host ADDR and --port PORT of the servers, and
// the PORT argument of the clients. The code is in options.cpp.

#include <cosock/address.hpp>
#include <cosock/run.hpp>

#include <cosock/duration.hpp>
#include <cstdio>
#include <initializer_list>
#include <string>

/// An option with a value: where the value goes, and which values are accepted.
struct option {
  const char* name;
  const char* value;                             // its name in the usage message
  void (*set)(const option&, const char* text);  // throws if the text is invalid
  void* target;
  unsigned min = 0;
  unsigned max = 0;
};

/// An option whose value is a number from `min` to `max`.
option number_option(const char* name, unsigned& number, unsigned min, unsigned max);
/// An option whose value is a time in seconds, such as 60 or 0.5.
option seconds_option(const char* name, std::chrono::milliseconds& time);
/// An option whose value is a port.
option port_option(const char* name, std::uint16_t& port);

/// An option whose value is an address.
option address_option(const char* name, cosock::address& address);

/// Reads the command line. Prints the usage and exits with status 2 if an argument is invalid.
void read_options(int argc, char** argv, std::initializer_list<option> options);

/// Reads the command line of a server: --host, --port and its further options. Returns the endpoint
/// to listen on.
cosock::endpoint endpoint_option(int argc, char** argv,
                                 std::initializer_list<option> further_options = {});

/// Checks the PORT argument of a client: a number, or the name of a service. Exits with status 2 if
/// it is invalid.
std::string port_argument(const char* text);

/// Prints the address and port of a server, for the user or the script that started it.
void announce(const cosock::endpoint& endpoint);

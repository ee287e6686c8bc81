// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Hosts and services, as resolve() takes them. Nothing is asked: this program's getaddrinfo checks
// what it gets, and answers by itself.

#include "input.hpp"

#include <cosock/address.hpp>
#include <cosock/resolve.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstring>

namespace {

std::atomic<int> questions = 0;

bool is_decimal(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_localhost(std::string name) {
  if (name.ends_with('.')) name.pop_back();
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name == "localhost" || name.ends_with(".localhost");
}

/// The input's text, with its length in front.
std::string text_of(fuzz::input& in) { return std::string(in.text(in.byte())); }

}  // namespace

extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  ++questions;
  cosock::address numeric;
  REQUIRE(host || service);
  REQUIRE(!host || (std::strlen(host) != 0 && std::strlen(host) < 256));
  REQUIRE(!host || !cosock::address::try_parse(host, numeric));
  in_addr other_notation;
  REQUIRE(!host || ::inet_aton(host, &other_notation) == 0);
  REQUIRE(!host || !is_localhost(host));
  REQUIRE(!service || std::strlen(service) < 64);
  // Some names exist, some services do not, and some servers do not answer.
  const char* const text = host ? host : service;
  switch (text[0] & 7) {
    case 0: return EAI_SERVICE;
    case 1: return EAI_AGAIN;
    case 2: return EAI_NONAME;
    default: break;
  }
  struct found : addrinfo {
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  auto* const one = static_cast<found*>(std::calloc(1, sizeof(found)));
  const bool v6 = hints && hints->ai_family == AF_INET6;
  one->ai_family = v6 ? AF_INET6 : AF_INET;
  one->ai_addrlen = v6 ? sizeof one->v6 : sizeof one->v4;
  one->ai_addr = v6 ? reinterpret_cast<sockaddr*>(&one->v6) : reinterpret_cast<sockaddr*>(&one->v4);
  one->ai_addr->sa_family = static_cast<sa_family_t>(one->ai_family);
  if (!v6) one->v4.sin_port = htons(80);
  if (v6) one->v6.sin6_port = htons(80);
  *result = one;
  return 0;
}
extern "C" void freeaddrinfo(addrinfo* all) noexcept { std::free(all); }

namespace {

cosock::task<> look_up(fuzz::input in) {
  const cosock::resolve_options options{.family = static_cast<cosock::family>(in.below(3)),
                                        .passive = in.flag()};
  const std::string host = text_of(in);
  const std::string service = text_of(in);
  const int before = questions;
  const auto found = co_await cosock::as_result(cosock::resolve(host, service, options));

  cosock::address numeric;
  const bool is_address = cosock::address::try_parse(host, numeric);
  const bool fits = options.family == cosock::family::any ||
                    numeric.is_v6() == (options.family == cosock::family::v6);
  if (is_decimal(service)) {
    std::uint16_t port = 0;
    const auto error = fuzz::error_of([&] { port = cosock::endpoint::parse_port(service); });
    if (error) REQUIRE(!found && found.error() == cosock::error::service_not_found);
    if (!error && is_address) {
      REQUIRE(found.has_value() == fits);
      if (fits) REQUIRE(*found == std::vector{cosock::endpoint(numeric, port)});
    }
    if (found)
      for (const cosock::endpoint& each : *found) REQUIRE(each.port() == port);
    if (error || is_address || host.empty()) REQUIRE(questions == before);
  }
  if (!found) {
    const auto& e = found.error();
    REQUIRE(e == cosock::error::host_not_found || e == cosock::error::service_not_found ||
            e == cosock::error::resolver_failed);
    co_return;
  }
  REQUIRE(!found->empty());
  for (const cosock::endpoint& each : *found)
    REQUIRE(options.family == cosock::family::any ||
            each.address().is_v6() == (options.family == cosock::family::v6));
}

}  // namespace

void fuzz_one(fuzz::input in) { fuzz::run(look_up(in)); }

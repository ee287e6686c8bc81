// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Addresses and endpoints as text. Their form for the system is in sockaddr.cpp.

#include <cosock/address.hpp>

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"

#include <arpa/inet.h>
#include <net/if.h>

#include <charconv>
#include <cstring>
#include <ostream>

namespace cosock {

namespace {

bool try_parse_port(std::string_view text, std::uint16_t& port) noexcept {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && stop == end;
}

bool parse_scope(const std::string& name, std::uint32_t& id) noexcept {
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, id);
  if (error == std::errc() && stop == end) return true;
  const detail::standard_numbers_occupied guard;
  id = ::if_nametoindex(name.c_str());
  return id != 0;
}

/// What else to say of a text that is no address: that its scope id names no interface.
std::string missing_interface(std::string_view text) {
  const std::size_t percent = text.find('%');
  address plain;
  if (percent == text.npos || !address::try_parse(text.substr(0, percent), plain) || plain.is_v4())
    return {};
  return ": not an address: there is no interface " + detail::in_quotes(text.substr(percent + 1));
}

}  // namespace

bool address::try_parse(std::string_view text, address& into) noexcept {
  const std::size_t percent = text.find('%');
  const std::string_view plain = text.substr(0, percent);
  char copy[64];
  if (plain.size() >= sizeof copy || plain.find('\0') != plain.npos) return false;
  copy[plain.copy(copy, plain.size())] = '\0';
  v4_bytes v4;
  if (percent == text.npos && ::inet_pton(AF_INET, copy, v4.data()) == 1) {
    into = address(v4);
    return true;
  }
  v6_bytes v6;
  if (::inet_pton(AF_INET6, copy, v6.data()) != 1) return false;
  std::uint32_t scope_id = 0;
  if (percent != text.npos) {
    const std::string_view name = text.substr(percent + 1);
    if (name.empty() || name.size() > 15 || name.find('\0') != name.npos) return false;
    if (!parse_scope(std::string(name), scope_id)) return false;
  }
  into = address(v6, scope_id);
  return true;
}

address address::parse(std::string_view text) {
  address parsed;
  if (try_parse(text, parsed)) return parsed;
  const detail::failure why = detail::own_failure(error::invalid_address);
  if (const std::string missing = missing_interface(text); !missing.empty())
    detail::raise_as(why, detail::in_quotes(text) + missing);
  detail::raise(why, detail::in_quotes(text));
}

bool address::is_loopback() const noexcept {
  return v6_ ? bytes_ == loopback_v6().bytes_ : bytes_[0] == 127;
}

bool address::is_any() const noexcept { return bytes_ == v6_bytes{}; }

bool address::is_multicast() const noexcept {
  return v6_ ? bytes_[0] == 0xff : (bytes_[0] & 0xf0) == 0xe0;
}

bool address::is_v4_mapped() const noexcept {
  static constexpr unsigned char prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return v6_ && std::memcmp(bytes_.data(), prefix, sizeof prefix) == 0;
}

address address::unmapped() const noexcept {
  return is_v4_mapped() ? address(v4_bytes{bytes_[12], bytes_[13], bytes_[14], bytes_[15]}) : *this;
}

std::string address::to_string() const {
  char text[INET6_ADDRSTRLEN];
  std::string shown = ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  if (scope_id_ == 0) return shown;
  const detail::standard_numbers_occupied guard;
  char name[IF_NAMESIZE];
  return shown + '%' +
         (::if_indextoname(scope_id_, name) ? std::string(name) : std::to_string(scope_id_));
}

std::ostream& operator<<(std::ostream& out, const address& a) { return out << a.to_string(); }

endpoint endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  cosock::address parsed;
  std::uint16_t port = 0;
  if (colon != text.npos) {
    std::string_view host = text.substr(0, colon);
    const bool brackets = host.size() > 1 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    if (address::try_parse(host, parsed) && parsed.is_v6() == brackets) {
      if (try_parse_port(text.substr(colon + 1), port)) return {parsed, port};
      detail::raise(detail::own_failure(error::service_not_found), detail::in_quotes(text));
    }
  }
  const detail::failure why = detail::own_failure(error::invalid_address);
  if (text.starts_with('['))
    if (const std::string missing = missing_interface(text.substr(1, text.find(']') - 1));
        !missing.empty())
      detail::raise_as(why, detail::in_quotes(text) + missing);
  detail::raise_as(why, detail::in_quotes(text) +
                            ": not an address and a port, as 192.0.2.1:80 or " +
                            "[2001:db8::1]:80");
}

std::string endpoint::to_string() const {
  const std::string host =
      address_.is_v6() ? '[' + address_.to_string() + ']' : address_.to_string();
  return host + ':' + std::to_string(port_);
}

std::ostream& operator<<(std::ostream& out, const endpoint& e) { return out << e.to_string(); }

std::uint16_t endpoint::parse_port(std::string_view text) {
  std::uint16_t port = 0;
  if (!try_parse_port(text, port))
    detail::raise(detail::own_failure(error::service_not_found), detail::in_quotes(text));
  return port;
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/address.hpp>

#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "net/socket.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <charconv>
#include <cstring>
#include <ostream>

namespace cosock {

namespace detail {

std::string printable(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  constexpr std::size_t most = 128;
  std::string shown;
  for (const char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte != 0x7f)
      shown += c;
    else
      shown.append("\\x").append({digits[byte >> 4], digits[byte & 15]});
  }
  return text.size() > most ? shown + "..." : shown;
}

std::string quoted(std::string_view text) { return '"' + printable(text) + '"'; }

}  // namespace detail

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
  return ": not an address: there is no interface " + detail::quoted(text.substr(percent + 1));
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
  const detail::failure why = detail::own_failure(error::not_an_address);
  if (const std::string missing = missing_interface(text); !missing.empty())
    detail::raise_as(why, detail::quoted(text) + missing);
  detail::raise(why, detail::quoted(text));
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
      detail::raise(detail::own_failure(error::service_not_found), detail::quoted(text));
    }
  }
  const detail::failure why = detail::own_failure(error::not_an_address);
  if (text.starts_with('['))
    if (const std::string missing = missing_interface(text.substr(1, text.find(']') - 1));
        !missing.empty())
      detail::raise_as(why, detail::quoted(text) + missing);
  detail::raise_as(why, detail::quoted(text) + ": not an address and a port, as 192.0.2.1:80 or " +
                       "[2001:db8::1]:80");
}

std::string endpoint::to_string() const {
  const std::string host = address_.is_v6() ? '[' + address_.to_string() + ']'
                                            : address_.to_string();
  return host + ':' + std::to_string(port_);
}

std::ostream& operator<<(std::ostream& out, const endpoint& e) { return out << e.to_string(); }

std::uint16_t parse_port(std::string_view text) {
  std::uint16_t port = 0;
  if (!try_parse_port(text, port))
    detail::raise(detail::own_failure(error::service_not_found), detail::quoted(text));
  return port;
}

namespace detail {

system_address::system_address(const endpoint& e) noexcept {
  if (e.address().is_v6()) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(e.port());
    v6.sin6_scope_id = e.address().scope_id();
    std::memcpy(&v6.sin6_addr, e.address().bytes().data(), 16);
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(e.port());
    std::memcpy(&v4.sin_addr, e.address().bytes().data(), 4);
    size = sizeof v4;
  }
}

endpoint system_address::to_endpoint() const noexcept {
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    address::v6_bytes bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return {address(bytes, v6.sin6_scope_id), ntohs(v6.sin6_port)};
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
  address::v4_bytes bytes;
  std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
  return {address(bytes), ntohs(v4.sin_port)};
}

bool is_interface(int fd, std::uint32_t index) noexcept {
  ifreq request = {};
  request.ifr_ifindex = static_cast<int>(index);
  return ::ioctl(fd, SIOCGIFNAME, &request) == 0;
}

int use_interface_of(int fd, const address& scoped) noexcept {
  if (scoped.scope_id() == 0) return 0;
  if (!is_interface(fd, scoped.scope_id())) return ENODEV;
  const int wanted = static_cast<int>(scoped.scope_id());
  int used = 0;
  socklen_t size = sizeof used;
  if (::getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &used, &size) == 0 && used != 0)
    return used == wanted ? 0 : EINVAL;
  // Of these alone the system looks at the scope itself, and older ones let nobody else do it.
  if (is_scoped_by_system(scoped.bytes().data())) return 0;
  return ::setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &wanted, sizeof wanted) == 0 ? 0 : errno;
}

bool is_scoped_by_system(const unsigned char* v6) noexcept {
  if (v6[0] == 0xff) return (v6[1] & 0x0f) == 1 || (v6[1] & 0x0f) == 2;
  return v6[0] == 0xfe && (v6[1] & 0xc0) == 0x80;
}

}  // namespace detail
}  // namespace cosock

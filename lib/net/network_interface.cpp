// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// network_interface: looking for interfaces of this machine by their names and addresses.

#include <cosock/udp.hpp>

#include "core/text.hpp"
#include "net/socket.hpp"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

namespace cosock {

using detail::system_failure;

network_interface network_interface::by_name(std::string_view name) {
  const std::string terminated(name);
  const detail::standard_numbers_occupied guard;
  const unsigned index =
      std::strlen(terminated.c_str()) == name.size() ? ::if_nametoindex(terminated.c_str()) : 0;
  if (index == 0) detail::raise(system_failure(ENODEV), detail::in_quotes(name));
  return by_index(index);
}

network_interface network_interface::by_address(const address& given) {
  const address own = detail::is_for_v4_socket(given) ? given.unmapped() : given;
  const detail::standard_numbers_occupied guard;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) detail::raise(system_failure(errno));
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(all, &::freeifaddrs);
  for (const ifaddrs* entry = all; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != (own.is_v6() ? AF_INET6 : AF_INET)) continue;
    detail::system_address name;
    std::memcpy(&name.storage, entry->ifa_addr,
                family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
    if (name.to_endpoint().address().bytes() != own.bytes()) continue;
    const unsigned index = ::if_nametoindex(entry->ifa_name);
    if (!own.scope_id() || index == own.scope_id()) return by_index(index);
  }
  detail::raise(system_failure(EADDRNOTAVAIL), given.to_string());
}

}  // namespace cosock

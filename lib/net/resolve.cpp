// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// resolve() and reverse_resolve(). Numeric hosts and localhost are answered here; the system is
// asked on a thread of the pool, because getaddrinfo(3) blocks.

#include <cosock/resolve.hpp>

#include "core/checkpoint.hpp"
#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "loop/simulated_host.hpp"
#include "loop/system.hpp"
#include "loop/thread_pool.hpp"
#include "net/answer_delay.hpp"
#include "net/hosts.hpp"
#include "net/look_up.hpp"
#include "net/sockaddr.hpp"

#include <cosock/unique_descriptor.hpp>

#include <netdb.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>

namespace cosock {

namespace detail {

namespace {

/// One question to the system.
struct lookup final : job {
  enum class question : unsigned char { addresses, port, name };

  lookup(job_kind kind, question asked_for) : job(kind), asked_for(asked_for) {}

  const question asked_for;
  std::string host;
  std::string service;  // empty: port 0
  cosock::family family = cosock::family::any;
  address peer;

  std::vector<endpoint> endpoints;
  std::string name;

  /// Of the members that run() does not write.
  void describe(wait_report& to) const override {
    const std::string about = asked_for == question::name        ? peer.to_string()
                              : asked_for == question::addresses ? host
                                                                 : service;
    to.operation("the look-up of");
    to.detail(about.data(), about.size());
  }

  void run() noexcept override;

 private:
  void ask_address();
  void ask_name();
};

failure failure_of_lookup(int code) noexcept {
  switch (code) {
    case 0: return {};
    case EAI_SERVICE: return own_failure(error::service_not_found);
    case EAI_AGAIN:
    case EAI_FAIL: return own_failure(error::resolver_failed);
    case EAI_MEMORY: return system_failure(ENOMEM);
    case EAI_SYSTEM: return system_failure(errno ? errno : EIO);
    default: return own_failure(error::host_not_found);
  }
}

void lookup::run() noexcept {
  const standard_numbers_occupied guard;  // the C library asks name servers
  try {
    asked_for == question::name ? ask_name() : ask_address();
  } catch (...) {
    failed = system_failure(ENOMEM);
  }
}

void lookup::ask_address() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = family == family::v4 ? AF_INET : family == family::v6 ? AF_INET6 : AF_UNSPEC;
  addrinfo* list = nullptr;
  const auto look_up = [&] {
    return ::getaddrinfo(asked_for == question::port ? nullptr : host.c_str(),
                         service.empty() ? nullptr : service.c_str(), &hints, &list);
  };
  int code = look_up();
  if (code == EAI_SERVICE) {
    hints.ai_socktype = SOCK_DGRAM;  // a service that only UDP has, such as tftp
    code = look_up();
  }
  failed = failure_of_lookup(code);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, [](addrinfo* a) {
    if (a) ::freeaddrinfo(a);
  });
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    if (entry->ai_family != AF_INET && entry->ai_family != AF_INET6) continue;
    system_address at;
    std::memcpy(&at.storage, entry->ai_addr, entry->ai_addrlen);
    const endpoint one = at.to_endpoint();
    // glibc returns an address twice if two lines of /etc/hosts have it.
    if (std::find(endpoints.begin(), endpoints.end(), one) == endpoints.end())
      endpoints.push_back(one);
  }
  if (!failed && endpoints.empty()) failed = own_failure(error::host_not_found);
}

void lookup::ask_name() {
  system_address at(endpoint(peer, 0));
  char text[NI_MAXHOST];
  failed = failure_of_lookup(
      ::getnameinfo(at.get(), at.size, text, sizeof text, nullptr, 0, NI_NAMEREQD));
  if (!failed) name = text;
}

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_number(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

void mapped_bytes(const address& a, unsigned char (&into)[16]) {
  sockaddr_storage name;
  encode_endpoint(endpoint(a, 0), &name, true);
  std::memcpy(into, &reinterpret_cast<const sockaddr_in6&>(name).sin6_addr, sizeof into);
}

/// Whether the system may be asked for a service of this name: it takes " 80" and "-1" for ports.
bool may_be_service(std::string_view text) noexcept {
  return !text.empty() && text.size() < 64 && (is_letter(text[0]) || is_digit(text[0])) &&
         text.find('\0') == text.npos;
}

[[noreturn]] void raise_service(std::string_view service) {
  raise_as(own_failure(error::service_not_found),
           in_quotes(service) + ": neither a port from 0 to 65535 nor a known service");
}

bool wanted(const address& a, family wanted_family) noexcept {
  return wanted_family == family::any || a.is_v6() == (wanted_family == family::v6);
}

/// Whether one socket can serve both families.
bool has_dual_stack_sockets() noexcept {
  const auto socket = unique_descriptor::adopt(system::socket(AF_INET6, SOCK_STREAM));
  const int v6_only = 0;
  return socket.get() >= 0 &&
         system::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) == 0;
}

/// The addresses to bind to for all interfaces. Both would be one too many: [::] has the port of
/// 0.0.0.0 too.
std::vector<address> all_interfaces(family wanted_family) {
  if (wanted_family == family::any)
    wanted_family = has_dual_stack_sockets() ? family::v6 : family::v4;
  return {wanted_family == family::v6 ? address::any_v6() : address::any_v4()};
}

/// localhost, or a name below it (RFC 6761, section 6.3).
bool is_localhost(std::string_view host) noexcept {
  constexpr std::string_view name = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() < name.size()) return false;
  const std::string_view before = host.substr(0, host.size() - name.size());
  return (before.empty() || before.ends_with('.')) &&
         std::equal(name.begin(), name.end(), host.end() - name.size(),
                    [](char a, char b) { return a == (b | 0x20); });
}

/// Loopback, whatever a name server says: the loopback addresses of the hosts file, or else both.
std::vector<address> of_localhost(std::string_view host, family wanted_family) {
  if (host.ends_with('.')) host.remove_suffix(1);
  std::vector<address> found = listed_addresses(host);
  std::erase_if(found, [wanted_family](const address& entry) {
    return !entry.is_loopback() || !wanted(entry, wanted_family);
  });
  if (found.empty()) return {address::loopback_v6(), address::loopback_v4()};
  // IPv6 first, without std::stable_sort, which causes a warning of newer Clangs in the headers of
  // GCC 12.
  std::vector<address> ordered;
  for (const bool v6 : {true, false})
    std::copy_if(found.begin(), found.end(), std::back_inserter(ordered),
                 [v6](const address& entry) { return entry.is_v6() == v6; });
  return ordered;
}

/// A part of an address in one of the notations that inet_aton(3) takes: decimal, octal, 0x7f.
bool is_number_of_any_base(std::string_view part) noexcept {
  if (part.size() > 1 && part[0] == '0' && (part[1] | 0x20) == 'x')
    return std::all_of(part.begin() + 2, part.end(), [](char c) {
      return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    });
  return std::all_of(part.begin(), part.end(), is_digit);
}

/// Throws unless the system may be asked for this host. It takes 127.1, 0x7f.1 and 2130706433 for
/// addresses, and queries for others what escapes such as \108ocalhost spell: a program that
/// checked the text would connect to a host that it meant to refuse.
void check_name(const std::string& host) {
  const failure refused = own_failure(error::host_not_found);
  std::string_view name = host;
  if (name.ends_with('.')) name.remove_suffix(1);
  bool numeric = true;
  bool good = name.size() < 254;
  while (good) {
    const std::string_view part = name.substr(0, name.find('.'));
    good = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
      return is_letter(c) || is_digit(c) || c == '-' || c == '_' ||
             static_cast<unsigned char>(c) >= 0x80;
    });
    numeric = numeric && is_number_of_any_base(part);
    if (part.size() == name.size()) break;
    name.remove_prefix(part.size() + 1);
  }
  if (!good) raise(refused, printable(host));
  if (numeric)
    raise_as(refused, printable(host) + ": no such host: an address is written as 192.0.2.1");
}

/// The addresses of a host that is answered without the system; empty for any other host. Throws
/// for one that the system must not be asked for.
std::vector<address> known(const std::string& host, const resolve_options& options) {
  address parsed;
  if (address::try_parse(host, parsed))
    return {options.family == family::v4 ? parsed.unmapped() : parsed};
  if (host.empty() && options.passive) return all_interfaces(options.family);
  if (host.empty()) return {address::loopback_v6(), address::loopback_v4()};
  check_name(host);
  if (is_localhost(host)) return of_localhost(host, options.family);
  return {};
}

/// The same question to the simulated host, which answers in virtual time.
task<> ask_simulation(simulated_host& host, lookup& asked) {
  const bool wants_name = asked.asked_for == lookup::question::name;
  simulated_answer answer;
  if (wants_name) {
    simulated_answer::entry bytes;
    mapped_bytes(asked.peer, bytes.bytes);
    answer = host.look_up(bytes.bytes);
  } else {
    answer = host.look_up(asked.host, asked.family != family::v6, asked.family != family::v4);
  }
  if (answer.delay > 0) co_await answer_delay(asked, answer.delay);
  std::uint16_t port = 0;
  if (!asked.service.empty()) {
    lookup service(job_kind::local_look_up, lookup::question::port);
    service.service = asked.service;
    service.run();
    asked.failed = service.failed;
    if (!asked.failed) port = service.endpoints.front().port();
  }
  if (answer.outcome == simulated_answer::kind::not_found)
    asked.failed = own_failure(error::host_not_found);
  if (answer.outcome == simulated_answer::kind::failed)
    asked.failed = own_failure(error::resolver_failed);
  for (const simulated_answer::entry& entry : answer.addresses) {
    in6_addr bytes;
    std::memcpy(&bytes, entry.bytes, sizeof bytes);
    asked.endpoints.emplace_back(to_address(bytes, 0).unmapped(), port);
  }
  asked.name = answer.name;
}

job_kind kind_of(const std::string& host, family wanted_family) {
  if (!needs_server(host, wanted_family)) return job_kind::local_look_up;
  return wanted_family == family::v6 ? job_kind::look_up_v6 : job_kind::look_up;
}

}  // namespace

bool needs_server(const std::string& host, family wanted_family) {
  if (!known(host, {.family = wanted_family}).empty()) return false;
  if (!hosts_file_comes_first()) return true;
  const std::vector<address> listed = listed_addresses(host);
  return std::none_of(listed.begin(), listed.end(), [wanted_family](const address& entry) {
    return wanted(entry, wanted_family);
  });
}

}  // namespace detail

task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                    resolve_options options) {
  using namespace detail;
  co_await checkpoint();
  const bool number = is_number(service);
  std::uint16_t port = number ? endpoint::parse_port(service) : 0;
  if (!number && !may_be_service(service)) raise_service(service);

  const std::vector<address> addresses = known(host, options);
  if (addresses.empty()) {
    auto asked =
        std::make_shared<lookup>(kind_of(host, options.family), lookup::question::addresses);
    asked->host = host;
    asked->family = options.family;
    if (!number) asked->service = service;
    if (simulated_host* const h = scheduler::required().host) [[unlikely]]
      co_await ask_simulation(*h, *asked);
    else
      co_await job_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (asked->failed) raise(asked->failed, printable(host));
    if (number)
      for (endpoint& entry : asked->endpoints) entry = {entry.address(), port};
    co_return std::move(asked->endpoints);
  }

  if (!number) {
    auto asked = std::make_shared<lookup>(job_kind::local_look_up, lookup::question::port);
    asked->service = service;
    if (scheduler::required().host) [[unlikely]]
      asked->run();  // in the services file, without a thread
    else
      co_await job_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (asked->failed) raise(asked->failed, in_quotes(service));
    port = asked->endpoints.front().port();
  }
  std::vector<endpoint> found;
  for (const address& entry : addresses)
    if (wanted(entry, options.family)) found.emplace_back(entry, port);
  if (found.empty())
    raise_as(own_failure(error::host_not_found), host + ": not an address of the wanted family");
  co_return found;
}

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port, resolve_options options) {
  return resolve(std::move(host), std::to_string(port), options);
}

task<std::string> reverse_resolve(address peer) {
  using detail::job_kind;
  const bool local = detail::hosts_file_comes_first() && detail::is_listed(peer);
  auto asked = std::make_shared<detail::lookup>(local ? job_kind::local_look_up : job_kind::look_up,
                                                detail::lookup::question::name);
  asked->peer = peer;
  if (detail::simulated_host* const h = detail::scheduler::required().host) [[unlikely]]
    co_await detail::ask_simulation(*h, *asked);
  else
    co_await detail::job_operation(asked);
  if (asked->failed) detail::raise(asked->failed, peer.to_string());
  co_return std::move(asked->name);
}

}  // namespace cosock

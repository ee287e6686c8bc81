// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/resolve.hpp>

#include "detail/checkpoint.hpp"
#include "detail/system.hpp"
#include "detail/text.hpp"
#include "detail/thread_pool.hpp"

#include <netdb.h>

#include <algorithm>
#include <cstring>

namespace cosock {

namespace detail {

namespace {

/// One question to the system.
struct lookup final : job {
  enum class question : unsigned char { addresses, port, name };

  explicit lookup(question what) : job(job_kind::look_up), what(what) {}

  const question what;
  std::string host;
  std::string service;  // empty: port 0
  cosock::family family = cosock::family::any;
  address of;

  std::vector<endpoint> endpoints;
  std::string name;

 private:
  void run() noexcept override;
  void ask_address();
  void ask_name();
};

failure failure_of_lookup(int code) noexcept {
  switch (code) {
    case 0: return {};
    case EAI_SERVICE: return own_failure(error::service_not_found);
    case EAI_AGAIN:
    case EAI_FAIL: return own_failure(error::name_server);
    case EAI_MEMORY: return system_failure(ENOMEM);
    case EAI_SYSTEM: return system_failure(errno ? errno : EIO);
    default: return own_failure(error::host_not_found);
  }
}

void lookup::run() noexcept {
  try {
    what == question::name ? ask_name() : ask_address();
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
    return ::getaddrinfo(what == question::port ? nullptr : host.c_str(),
                         service.empty() ? nullptr : service.c_str(), &hints, &list);
  };
  int code = look_up();
  if (code == EAI_SERVICE) {
    hints.ai_socktype = SOCK_DGRAM;  // a name that only UDP has: tftp, say
    code = look_up();
  }
  failed = failure_of_lookup(code);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(
      list, [](addrinfo* a) { if (a) ::freeaddrinfo(a); });
  for (const addrinfo* each = list; each; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    system_address at;
    std::memcpy(&at.storage, each->ai_addr, each->ai_addrlen);
    const endpoint one = at.to_endpoint();
    // glibc gives an address twice that stands in two lines of /etc/hosts.
    if (std::find(endpoints.begin(), endpoints.end(), one) == endpoints.end())
      endpoints.push_back(one);
  }
  if (!failed && endpoints.empty()) failed = own_failure(error::host_not_found);
}

void lookup::ask_name() {
  system_address at(endpoint(of, 0));
  char text[NI_MAXHOST];
  failed = failure_of_lookup(
      ::getnameinfo(at.get(), at.size, text, sizeof text, nullptr, 0, NI_NAMEREQD));
  if (!failed) name = text;
}

bool is_number(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether the system may be asked for a service of this name: it takes " 80" and "-1" for ports.
bool may_be_service(std::string_view text) noexcept {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() < 64 && good(text[0]) && text.find('\0') == text.npos;
}

[[noreturn]] void raise_service(std::string_view service) {
  raise_as(own_failure(error::service_not_found),
           quoted(service) + ": neither a port from 0 to 65535 nor a known service");
}

/// The addresses that a host stands for which is none to be looked up.
std::vector<address> numeric(const std::string& host, bool passive) {
  address parsed;
  if (address::try_parse(host, parsed)) return {parsed};
  if (!host.empty()) return {};
  if (passive) return {address::any_v6(), address::any_v4()};
  return {address::loopback_v6(), address::loopback_v4()};
}

/// localhost, or a name below it: loopback, whatever a name server says (RFC 6761, section 6.3).
bool is_localhost(std::string_view host) noexcept {
  constexpr std::string_view name = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() < name.size()) return false;
  const std::string_view before = host.substr(0, host.size() - name.size());
  return (before.empty() || before.ends_with('.')) &&
         std::equal(name.begin(), name.end(), host.end() - name.size(),
                    [](char a, char b) { return a == (b | 0x20); });
}

bool wanted(const address& a, family which) noexcept {
  return which == family::any || a.is_v6() == (which == family::v6);
}

}  // namespace
}  // namespace detail

task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                    resolve_options options) {
  using namespace detail;
  co_await checkpoint();
  const bool number = is_number(service);
  std::uint16_t port = number ? parse_port(service) : 0;
  if (!number && !may_be_service(service)) raise_service(service);
  if (host.size() > 255 || host.find('\0') != host.npos)
    raise(own_failure(error::host_not_found), printable(host));

  std::vector<address> addresses = numeric(host, options.passive);
  if (addresses.empty()) {
    auto asked = std::make_shared<lookup>(lookup::question::addresses);
    asked->host = host;
    asked->family = options.family;
    if (!number) asked->service = service;
    co_await job_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (!asked->failed) {
      if (number)
        for (endpoint& each : asked->endpoints) each = {each.address(), port};
      co_return std::move(asked->endpoints);
    }
    if (!is_localhost(host)) raise(asked->failed, printable(host));
    addresses = numeric("", false);  // a system without /etc/hosts, or without this name in it
  }

  if (!number) {
    auto asked = std::make_shared<lookup>(lookup::question::port);
    asked->service = service;
    co_await job_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (asked->failed) raise(asked->failed, service);
    port = asked->endpoints.front().port();
  }
  std::vector<endpoint> found;
  for (const address& each : addresses)
    if (wanted(each, options.family)) found.emplace_back(each, port);
  if (found.empty())
    raise_as(own_failure(error::host_not_found), host + ": not an address of the wanted family");
  co_return found;
}

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                    resolve_options options) {
  return resolve(std::move(host), std::to_string(port), options);
}

task<std::string> reverse_resolve(address of) {
  auto asked = std::make_shared<detail::lookup>(detail::lookup::question::name);
  asked->of = of;
  co_await detail::job_operation(asked);
  if (asked->failed) detail::raise(asked->failed, of.to_string());
  co_return std::move(asked->name);
}

}  // namespace cosock

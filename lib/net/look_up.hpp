// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// How connect() and connect_udp() look up hosts: RFC 8305, section 3.

#include <cosock/nursery.hpp>
#include <cosock/resolve.hpp>
#include <cosock/sync.hpp>

#include <optional>

namespace cosock::detail {

/// Whether resolve() asks the system for this host in a way that may wait for a name server: it is
/// a name that the hosts file does not list. Throws what resolve() does for a host that is no name.
bool needs_server(const std::string& host, family wanted);

/// The addresses of a host in the order in which they are to be tried, as the answers come in.
/// Belongs to the task that tries them.
class candidates {
 public:
  /// Addresses that are known, their families taking turns, the first one first.
  void add(const std::vector<endpoint>& found);
  /// Looks up the addresses: those of both families side by side where a name server is asked, with
  /// children of the nursery, which ends before this object. Waits until there is an address to
  /// begin with: those of the preferred family at once, others 50 ms later. Throws what resolve()
  /// does, unless an answer may follow.
  task<> look_up(nursery& in, std::string host, std::string service, family wanted);

  /// The next address; waits for look-ups that go on. Empty if there is no other.
  task<std::optional<endpoint>> next();
  /// Whether next() would find an address, or wait for one.
  bool more() const noexcept {
    return v6_.has_next() || v4_.has_next() || v6_.awaited || v4_.awaited;
  }
  /// How many have been found.
  std::size_t found() const noexcept { return v6_.all.size() + v4_.all.size(); }
  /// Throws the error of the look-ups, of which none has found an address.
  [[noreturn]] void raise() const;

 private:
  /// The addresses of one family, and the look-up that may find more.
  struct of_family {
    std::vector<endpoint> all;
    std::size_t tried = 0;
    bool awaited = false;  // the look-up goes on
    std::exception_ptr failure;

    bool has_next() const noexcept { return tried != all.size(); }
  };
  task<> ask(family wanted);

  std::string host_;
  std::string service_;
  of_family v6_;
  of_family v4_;
  bool v6_is_next_ = true;
  event answer_;
};

}  // namespace cosock::detail

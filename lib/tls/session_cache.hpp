// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The sessions that a client keeps for resumption, by server. Shared by the connections of one context,
// on any thread.

#include "tls/openssl.hpp"

#include <list>
#include <mutex>
#include <string>

namespace cosock::detail {

class session_cache {
 public:
  explicit session_cache(std::size_t max_sessions) noexcept : max_sessions_(max_sessions) {}
  /// Keeps a session; the oldest one goes if there are too many. If it throws, the caller still has it.
  void put(const std::string& server, session_ptr&& session);
  /// The newest session for the server, or null. One of TLS 1.3 leaves the cache: a server, or somebody
  /// on the way, could recognize a client by a ticket that is used twice.
  session_ptr take(const std::string& server);

 private:
  struct entry {
    std::string server;
    session_ptr session;
  };
  std::mutex mutex_;
  std::list<entry> entries_;  // the newest first
  std::size_t max_sessions_;
};

}  // namespace cosock::detail

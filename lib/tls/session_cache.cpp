// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The cache of sessions of a client. Called by its handshakes, and by OpenSSL when a ticket arrives.

#include "tls/session_cache.hpp"

#include <ctime>

namespace cosock::detail {

void session_cache::put(const std::string& server, session_ptr&& session) {
  std::list<entry> added;  // allocated, and a session freed, outside of the lock
  added.push_back({server, nullptr});
  added.front().session = std::move(session);
  const std::lock_guard lock(mutex_);
  entries_.splice(entries_.begin(), added);
  if (entries_.size() > max_sessions_) added.splice(added.end(), entries_, --entries_.end());
}

session_ptr session_cache::take(const std::string& server) {
  const std::time_t now = std::time(nullptr);
  std::list<entry> removed;
  const std::lock_guard lock(mutex_);
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto it = at++;
    if (it->server != server) continue;
    SSL_SESSION* const session = it->session.get();
    if (time_of(session) + SSL_SESSION_get_timeout(session) <= now ||
        SSL_SESSION_is_resumable(session) != 1) {
      removed.splice(removed.end(), entries_, it);
      continue;
    }
    if (SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION) {
      removed.splice(removed.end(), entries_, it);
      return std::move(removed.back().session);
    }
    SSL_SESSION_up_ref(session);
    return session_ptr(session);
  }
  return nullptr;
}

}  // namespace cosock::detail

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The part of reconnecting_client that depends on the types of connect() and session(). The loop of
// attempts is in lib/service/reconnect.cpp; it sees only the interface below.

#include <cosock/task.hpp>

#include <optional>

namespace cosock {

class cancel_scope;
enum class session_result;

namespace detail {

/// One attempt of a client that reconnects: connect, use the connection, close it. Independent of
/// the type of the connection, which it owns between connect() and close().
class COSOCK_API reconnect_session {
 public:
  virtual task<> connect() = 0;
  virtual task<session_result> session() = 0;
  virtual void close() noexcept = 0;

 protected:
  reconnect_session() = default;
  reconnect_session(const reconnect_session&) = delete;
  reconnect_session& operator=(const reconnect_session&) = delete;
  virtual ~reconnect_session();
};

template <class Connect, class Session>
class reconnect_session_of final : public reconnect_session {
  static_assert(std::is_invocable_v<Connect&>, "connect() is called without arguments");
  using connection = std::remove_cvref_t<result_of<std::invoke_result_t<Connect&>>>;
  static_assert(std::is_invocable_v<Session&, connection&>,
                "session() is called with a reference to what connect() gave");
  using ending = std::invoke_result_t<Session&, connection&>;
  static_assert(std::is_same_v<ending, task<>> || std::is_same_v<ending, task<session_result>>,
                "session() returns cosock::task<> or cosock::task<cosock::session_result>");

 public:
  reconnect_session_of(Connect&& connect, Session&& session)
      : connect_(std::move(connect)), session_(std::move(session)) {}

  task<> connect() override {
    auto made = co_await connect_();
    connected_.emplace(std::move(made));
  }
  task<session_result> session() override {
    if constexpr (std::is_same_v<ending, task<>>) {
      co_await session_(*connected_);
      co_return session_result{};  // reconnect
    } else {
      co_return co_await session_(*connected_);
    }
  }
  void close() noexcept override { connected_.reset(); }

 private:
  Connect connect_;
  Session session_;
  std::optional<connection> connected_;
};

}  // namespace detail
}  // namespace cosock

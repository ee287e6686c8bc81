// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Simulated local sockets, as unix(7) describes them: streams, sequenced packets and datagrams of one
// host. Descriptors and credentials do not travel with messages. A path is a name, not a file.

#include "testing/model_socket.hpp"

#include <deque>
#include <memory>
#include <string>

namespace cosock::testing::detail {

class local_model final : public model_socket {
 public:
  local_model(machine& on, int of_type) noexcept : model_socket(on, AF_UNIX, of_type) {
    send_buffer_ = receive_buffer_ = 2 * 212992;
  }
  static void join(const std::shared_ptr<local_model>& a, const std::shared_ptr<local_model>& b);

  int bind(const sockaddr*, socklen_t) override;
  int listen(int backlog) override;
  int accept(sockaddr*, socklen_t*) override;
  int connect(const sockaddr*, socklen_t) override;
  int shutdown(int how) override;
  void close() override;
  void vanish() noexcept override { watch = nullptr; }
  int getsockname(sockaddr*, socklen_t*) override;
  int getpeername(sockaddr*, socklen_t*) override;
  ssize_t receive(msghdr&, int flags) override;
  ssize_t send(const msghdr&) override;
  short state() const noexcept override;
  bool is_listening() const noexcept override { return listens_; }

 private:
  struct message {
    std::string from;
    std::string data;
  };
  bool has_messages() const noexcept { return type != SOCK_STREAM; }
  std::size_t room() const noexcept;
  void write_local(const std::string& of, void* into, socklen_t* size) const noexcept;
  local_model* find(const std::string& wanted) const noexcept;
  int failure_to_find(const std::string& wanted) const noexcept;
  void drop_queue();

  std::string local_name_;  // as in sun_path; an abstract one begins with a NUL
  std::string peer_name_;
  bool listens_ = false;
  std::size_t backlog_ = 0;
  std::deque<std::shared_ptr<local_model>> accepted_;
  std::weak_ptr<local_model> peer_;
  bool was_connected_ = false;
  bool send_ended_ = false;
  bool in_ended_ = false;
  bool closed_ = false;
  std::deque<message> queue_;  // of a stream: pieces
  std::size_t queued_bytes_ = 0;
  std::size_t read_ = 0;  // of the first piece
};

}  // namespace cosock::testing::detail

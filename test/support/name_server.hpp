// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "allocations.hpp"
#include "netns.hpp"

#include <cosock/address.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace test {

/// A UDP socket where the resolver expects its name server. Nobody reads from it: silence.
class silent_name_server {
 public:
  silent_name_server() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_port = htons(53);
    at.sin_addr.s_addr = htonl(0x7f000035);
    check(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0, "bind");
  }
  ~silent_name_server() { ::close(fd_); }
  silent_name_server(const silent_name_server&) = delete;

 protected:
  int fd_;
};

/// A name server on a thread of its own. What it knows is in known(); it answers SERVFAIL for
/// broken.test, REFUSED for refused.test, nothing for silent.test, keeps what begins with "gate"
/// until open_gate(), and says of everything else that it does not exist. In broken-v6.test and the
/// like, gate-v4.test say, that holds for the addresses of this family; the others are loopback. So
/// it is for none-v4.test and none-v6.test, which have no address of the family.
class name_server : public silent_name_server {
 public:
  name_server() : thread_([this] { serve(); }) {}
  ~name_server() {
    sockaddr_in at;
    socklen_t size = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    ::sendto(fd_, "", 0, 0, reinterpret_cast<sockaddr*>(&at), size);
    thread_.join();
  }

  /// How many questions about the name have come in.
  int asked(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return asked_[name];
  }
  int asked_in_all() {
    const std::lock_guard lock(mutex_);
    return std::accumulate(asked_.begin(), asked_.end(), 0,
                           [](int sum, const auto& each) { return sum + each.second; });
  }
  void wait_until_asked(const std::string& name) {
    std::unique_lock lock(mutex_);
    news_.wait(lock, [&] { return asked_[name] != 0; });
  }
  /// Until so many questions are at the gate.
  void wait_until_at_gate(std::size_t number) {
    std::unique_lock lock(mutex_);
    news_.wait(lock, [&] { return gate_.size() >= number; });
  }
  /// Answers what was kept, and keeps nothing more.
  void open_gate() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    for (const question& each : gate_) reply(each);
    gate_.clear();
  }

 private:
  enum type : unsigned { a = 1, ptr = 12, aaaa = 28 };
  enum code : unsigned char { good = 0, servfail = 2, nxdomain = 3, refused = 5 };
  struct question {
    std::string name;
    unsigned what;
    std::string bytes;  // of the datagram, up to the end of the question
    sockaddr_in from;
  };

  /// Whether the name begins like this, and the question is about the family in it, if there is
  /// one.
  static bool is(const question& q, std::string_view beginning) {
    return q.name.starts_with(beginning) && !(q.name.ends_with("-v4.test") && q.what != a) &&
           !(q.name.ends_with("-v6.test") && q.what != aaaa);
  }

  static std::vector<std::string> known(const std::string& name) {
    if (name == "dual.test") return {"127.0.0.2", "::1"};
    if (name == "v4.test") return {"127.0.0.4"};
    if (name == "v6.test") return {"::6"};
    if (name == "many.test") {
      std::vector<std::string> all;
      for (int i = 1; i != 21; ++i) all.push_back("127.0.1." + std::to_string(i));
      return all;
    }
    if (name == "none-v4.test") return {"::1"};
    if (name == "none-v6.test") return {"127.0.0.1"};
    if (name.ends_with("-v4.test") || name.ends_with("-v6.test")) return {"127.0.0.1", "::1"};
    if (name.starts_with("gate")) return {"127.0.0.7"};
    if (name[0] == 'n' && name.ends_with(".example"))  // n17.example is 127.1.0.17
      return {"127.1.0." + std::to_string(std::atoi(name.c_str() + 1))};
    return {};
  }

  void serve() {
    spares_allocations = true;
    for (;;) {
      question q = {};
      char in[512];
      socklen_t size = sizeof q.from;
      const ssize_t n =
          ::recvfrom(fd_, in, sizeof in, 0, reinterpret_cast<sockaddr*>(&q.from), &size);
      if (n < 12) return;
      std::size_t at = 12;
      for (unsigned char label; (label = static_cast<unsigned char>(in[at])) != 0; at += label + 1u)
        q.name += (at == 12 ? "" : ".") + std::string(in + at + 1, label);
      q.what =
          static_cast<unsigned char>(in[at + 1]) * 256u + static_cast<unsigned char>(in[at + 2]);
      q.bytes.assign(in, at + 5);
      const std::lock_guard lock(mutex_);
      ++asked_[q.name];
      if (is(q, "gate") && !open_)
        gate_.push_back(q);
      else if (!is(q, "silent"))
        reply(q);
      news_.notify_all();
    }
  }

  void reply(const question& q) {
    code result = nxdomain;
    std::string answers;
    unsigned char count = 0;
    const auto answer = [&](unsigned what, const std::string& data) {
      result = good;
      if (what != q.what) return;
      ++count;
      answers += std::string("\xc0\x0c\0", 3) + static_cast<char>(what) +
                 std::string("\0\1\0\0\0\0\0", 7) + static_cast<char>(data.size()) + data;
    };
    for (const std::string& each : known(q.name)) {
      const auto of = cosock::address::parse(each);
      answer(of.is_v4() ? a : aaaa,
             std::string(reinterpret_cast<const char*>(of.bytes().data()), of.is_v4() ? 4 : 16));
    }
    if (q.name == "2.0.0.127.in-addr.arpa") answer(ptr, std::string("\3two\4test\0", 10));
    if (is(q, "broken") || q.name == "9.0.0.127.in-addr.arpa") result = servfail;
    if (q.name == "refused.test") result = refused;
    std::string out = q.bytes + answers;
    out[2] = static_cast<char>(0x81);
    out[3] = static_cast<char>(0x80 | result);
    out[7] = static_cast<char>(count);
    out[11] = 0;  // the question may have had options behind it
    ::sendto(fd_, out.data(), out.size(), 0, reinterpret_cast<const sockaddr*>(&q.from),
             sizeof q.from);
  }

  std::mutex mutex_;
  std::condition_variable news_;
  std::map<std::string, int> asked_;
  std::vector<question> gate_;
  bool open_ = false;
  std::thread thread_;
};

}  // namespace test

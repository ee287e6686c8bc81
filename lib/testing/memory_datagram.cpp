// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/testing/memory_datagram.hpp>

#include "testing/random.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace cosock::testing {

namespace detail {

namespace {

using boost::system::error_code;

error_code system_error(int code) { return {code, boost::system::system_category()}; }

endpoint address_of(int side) { return endpoint::parse(side == 0 ? "192.0.2.1:1" : "192.0.2.2:2"); }

void check_probability(double value, const char* name) {
  if (!(value >= 0 && value <= 1))
    throw std::invalid_argument(std::string("datagram_faults::") + name + " is " +
                                std::to_string(value) + "; it is a probability, from 0 to 1");
}

}  // namespace

/// What two sockets share, so that each may be moved: the datagrams that wait for each of them.
class memory_link {
 public:
  explicit memory_link(const memory_datagram_options& options)
      : options_(options), random_(options.faults.seed) {}

  static std::pair<memory_datagram_socket, memory_datagram_socket> connect(
      const memory_datagram_options& options) {
    if (options.room == 0)
      throw std::invalid_argument("memory_datagram_options::room is 0; it is at least 1");
    check_probability(options.faults.loss, "loss");
    check_probability(options.faults.duplication, "duplication");
    check_probability(options.faults.reordering, "reordering");
    check_probability(options.faults.truncation, "truncation");
    const auto both = std::make_shared<memory_link>(options);
    return {memory_datagram_socket(both, 0), memory_datagram_socket(both, 1)};
  }

  void attach(int side, memory_datagram_socket* socket) noexcept { ends_[side] = socket; }

  std::size_t receive(int side, std::span<const mutable_buffer> into, endpoint& from,
                      error_code& code) noexcept {
    std::deque<std::string>& waiting = waiting_[side];
    if (waiting.empty()) {
      code = system_error(EAGAIN);
      return 0;
    }
    from = address_of(1 - side);
    const std::string& first = waiting.front();
    const std::size_t length = first.size();
    std::size_t copied = 0;
    for (const mutable_buffer& buffer : into) {
      const std::size_t n = std::min(buffer.size(), length - copied);
      if (n != 0) std::memcpy(buffer.data(), first.data() + copied, n);
      copied += n;
    }
    waiting.pop_front();
    if (ends_[1 - side]) ends_[1 - side]->notify_writable();
    return length;
  }

  void send(int side, std::span<const const_buffer> from, const endpoint* to,
            error_code& code) noexcept try {
    if (to && *to != address_of(1 - side)) {
      code = system_error(ENETUNREACH);
      return;
    }
    std::string datagram;
    for (const const_buffer& buffer : from) {
      if (buffer.size() > options_.largest - datagram.size()) {
        code = system_error(EMSGSIZE);
        return;
      }
      datagram.append(static_cast<const char*>(buffer.data()), buffer.size());
    }
    memory_datagram_socket* const peer = ends_[1 - side];
    if (!peer) return;
    std::deque<std::string>& waiting = waiting_[1 - side];
    if (waiting.size() >= options_.room) {
      code = system_error(EAGAIN);
      return;
    }
    const datagram_faults& faults = options_.faults;
    if (random_.chance(faults.loss)) return;
    if (random_.chance(faults.truncation) && !datagram.empty())
      datagram.resize(random_.below(datagram.size()));
    const bool twice = random_.chance(faults.duplication);
    const bool overtakes = random_.chance(faults.reordering) && !waiting.empty();
    if (twice) waiting.push_back(datagram);
    waiting.insert(overtakes ? waiting.end() - (twice ? 2 : 1) : waiting.end(),
                   std::move(datagram));
    peer->notify_readable();
  } catch (const std::bad_alloc&) {
    code = system_error(ENOBUFS);
  }

  void leave(int side) noexcept {
    ends_[side] = nullptr;
    waiting_[side].clear();
    if (ends_[1 - side]) ends_[1 - side]->notify_writable();
  }

 private:
  const memory_datagram_options options_;
  random random_;
  memory_datagram_socket* ends_[2] = {};  // null: closed or destroyed
  std::deque<std::string> waiting_[2];
};

}  // namespace detail

memory_datagram_socket::memory_datagram_socket(std::shared_ptr<detail::memory_link> link, int side)
    : link_(std::move(link)), side_(side) {
  link_->attach(side_, this);
}
memory_datagram_socket::memory_datagram_socket(memory_datagram_socket&& other) noexcept
    : custom_datagram_socket(std::move(other)), link_(std::move(other.link_)), side_(other.side_) {
  if (link_ && is_open()) link_->attach(side_, this);
}
memory_datagram_socket& memory_datagram_socket::operator=(memory_datagram_socket&& other) noexcept {
  if (this == &other) return *this;
  custom_datagram_socket::operator=(std::move(other));
  link_ = std::move(other.link_);
  side_ = other.side_;
  if (link_ && is_open()) link_->attach(side_, this);
  return *this;
}
memory_datagram_socket::~memory_datagram_socket() {
  if (link_ && is_open()) link_->leave(side_);
}

endpoint memory_datagram_socket::local_endpoint() const { return detail::address_of(side_); }
endpoint memory_datagram_socket::remote_endpoint() const { return detail::address_of(1 - side_); }

std::size_t memory_datagram_socket::do_receive(std::span<const mutable_buffer> into, endpoint& from,
                                               packet_info&,
                                               boost::system::error_code& error) noexcept {
  return link_->receive(side_, into, from, error);
}
void memory_datagram_socket::do_send(std::span<const const_buffer> from, const endpoint* to,
                                     const packet_info*,
                                     boost::system::error_code& error) noexcept {
  link_->send(side_, from, to, error);
}
void memory_datagram_socket::on_close() noexcept { link_->leave(side_); }

std::pair<memory_datagram_socket, memory_datagram_socket> memory_datagram_pair(
    const memory_datagram_options& options) {
  return detail::memory_link::connect(options);
}

}  // namespace cosock::testing

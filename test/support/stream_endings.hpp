// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// Rows of the table of endings for the operations of a byte_stream. The library does not use the
// descriptor of the other side.

#include <cosock/stream.hpp>
#include <cosock/unique_descriptor.hpp>

#include "loop_endings.hpp"
#include "operation_endings.hpp"
#include "raw_socket.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

namespace test {

inline bool has_event(int fd, short events) {
  pollfd asked = {fd, events, 0};
  return ::poll(&asked, 1, 0) == 1;
}

/// A stream of the library, and the other side.
struct stream_subject {
  std::unique_ptr<cosock::byte_stream> stream;
  int fd = -1;  // that of the stream
  cosock::unique_descriptor peer;
  cosock::unique_descriptor same_file;  // a duplicate of fd, where it is not of the stream
};

/// Writes until there is no room, and nothing on the way to the peer that would make some.
inline void fill_descriptor(int fd, int peer) {
  static const std::vector<char> zeros(64 << 10);
  const int flags = ::fcntl(fd, F_GETFL);
  BOOST_REQUIRE(::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
  for (std::size_t size = zeros.size();;) {
    while (::write(fd, zeros.data(), size) > 0) continue;
    BOOST_REQUIRE((errno == EAGAIN || errno == EWOULDBLOCK));
    int held = 0;
    int unsent = 0;
    const bool is_tcp = ::ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && ::ioctl(fd, SIOCOUTQ, &held) == 0;
    if (is_tcp && held != unsent) {  // the acknowledgement may make room
      const int at_once = 1;
      ::setsockopt(peer, IPPROTO_TCP, TCP_QUICKACK, &at_once, sizeof at_once);
    } else if (size == 1) {
      break;
    } else {
      size = 1;
    }
  }
  BOOST_REQUIRE(::fcntl(fd, F_SETFL, flags) == 0);
}

/// Reads what the other side has sent, until that can send more.
inline void make_room(int peer, int sender) {
  char into[64 << 10];
  do {
    wait_behind_the_loops_back(peer, POLLIN);
    BOOST_REQUIRE(::read(peer, into, sizeof into) > 0);
  } while (has_event(peer, POLLIN) || !has_event(sender, POLLOUT));
}

/// Breaks a local connection: the system reports a reset where the peer has not read everything.
inline void reset_local(stream_subject& s) {
  static_cast<void>(::send(s.fd, "unread", 6, MSG_DONTWAIT | MSG_NOSIGNAL));
  s.peer.close();
}

/// A kind of stream for the table.
struct stream_kind {
  std::string name;
  std::shared_ptr<stream_subject> (*make)(cosock::loop&);
  /// Fills the buffer of the stream itself; null if it has none.
  void (*fill)(cosock::loop&, stream_subject&) = nullptr;
  /// Breaks the connection; null if no operation fails by that. The codes of receives and sends.
  void (*reset)(stream_subject&) = nullptr;
  boost::system::error_code receive_fails_with = {};
  boost::system::error_code send_fails_with = {};
  bool receives = true;
  bool sends = true;
};

enum class waiting_for { data, room };

/// A row whose operation is `perform(stream)`, a coroutine that checks what it gets.
template <class Perform>
operation_kind stream_row(const stream_kind& of, std::string operation, waiting_for what,
                          Perform perform) {
  const bool fails = of.reset != nullptr;
  operation_kind row = {
      .name = of.name + "_" + operation,
      .make =
          [=](cosock::loop& on) {
            const std::shared_ptr<stream_subject> s = of.make(on);
            if (what == waiting_for::room) fill_descriptor(s->fd, s->peer.get());
            if (what == waiting_for::room && of.fill) of.fill(on, *s);
            waitable made = {
                .wait = [s, perform] { return perform(*s->stream); },
                .provide =
                    [s, what] {
                      if (what == waiting_for::room) return make_room(s->peer.get(), s->fd);
                      BOOST_REQUIRE(::write(s->peer.get(), "data", 4) == 4);
                      wait_behind_the_loops_back(s->fd, POLLIN);
                    },
                .close = [s] { s->stream->close(); },
                .destroy = [s] { s->stream.reset(); },
            };
            if (fails) made.fail = [s, reset = of.reset] { reset(*s); };
            return made;
          },
      .fails_with = what == waiting_for::room ? of.send_fails_with : of.receive_fails_with,
  };
  if (!fails) row.except.push_back({way::fail, "the end of the other side is no failure"});
  return row;
}

namespace stream_operations {

using cosock::byte_stream;
using cosock::task;

inline task<> receive(byte_stream& s) {
  char into[8];
  const std::size_t n = co_await s.receive(into);
  BOOST_TEST(std::string(into, n) == "data");
}
inline task<> receive_exactly(byte_stream& s) {
  char into[4];
  const std::size_t n = co_await s.receive_exactly(into);
  BOOST_TEST(std::string(into, n) == "data");
}
inline task<> wait_readable(byte_stream& s) { co_await s.wait_readable(); }
inline task<> send(byte_stream& s) {
  const std::size_t n = co_await s.send("more");
  BOOST_TEST(n == 4u);
}
inline task<> send_some(byte_stream& s) {
  const std::size_t n = co_await s.send_some("more");
  BOOST_TEST(n == 4u);
}
inline task<> wait_writable(byte_stream& s) { co_await s.wait_writable(); }

}  // namespace stream_operations

/// A wait for readiness ends by a failure too: it completes, and leaves the error to what follows.
inline operation_kind that_does_not_fail(operation_kind row) {
  auto make = row.make;
  row.make = [make](cosock::loop& on) {
    waitable made = make(on);
    made.fail = nullptr;
    return made;
  };
  if (row.can(way::fail))
    row.except.push_back({way::fail, "it completes, and the next operation fails"});
  return row;
}

/// The rows of all operations of a kind of stream.
inline std::vector<operation_kind> stream_rows(const stream_kind& of) {
  namespace ops = stream_operations;
  std::vector<operation_kind> rows;
  if (of.receives) {
    rows.push_back(stream_row(of, "receive", waiting_for::data, ops::receive));
    rows.push_back(stream_row(of, "receive_exactly", waiting_for::data, ops::receive_exactly));
    rows.push_back(
        that_does_not_fail(stream_row(of, "wait_readable", waiting_for::data, ops::wait_readable)));
  }
  if (of.sends) {
    rows.push_back(stream_row(of, "send", waiting_for::room, ops::send));
    rows.push_back(stream_row(of, "send_some", waiting_for::room, ops::send_some));
    rows.push_back(
        that_does_not_fail(stream_row(of, "wait_writable", waiting_for::room, ops::wait_writable)));
  }
  return rows;
}

inline void append(std::vector<operation_kind>& to, std::vector<operation_kind> more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace test

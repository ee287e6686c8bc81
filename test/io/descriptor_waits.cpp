// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/descriptor_stream.hpp>

#define BOOST_TEST_MODULE descriptor_waits
#include "descriptor_tools.hpp"

#include <memory>
#include <optional>

// Every operation, while it waits, on every kind of descriptor that is in blocking mode.

namespace {

using namespace test;
using cosock::error;

/// A stream to receive from, a stream to send to, and what is at their other ends.
struct subject {
  std::shared_ptr<descriptor_stream> in;
  std::shared_ptr<descriptor_stream> out;
  unique_descriptor feed;
  unique_descriptor sink;
  std::vector<unique_descriptor> shared;  // the same open file descriptions
};

std::shared_ptr<descriptor_stream> adopted(unique_descriptor fd) {
  return std::make_shared<descriptor_stream>(descriptor_stream::adopt(fd.release()));
}

subject two_ways(descriptor_ends ends) {
  subject s;
  s.shared.push_back(share(ends.first));
  s.in = s.out = adopted(std::move(ends.first));
  s.sink = share(ends.second);
  s.feed = std::move(ends.second);
  return s;
}

subject one_way_each(descriptor_ends in, descriptor_ends out, bool permission) {
  subject s;
  s.shared.push_back(share(in.first));
  s.shared.push_back(share(out.second));
  const auto adopt = [&](unique_descriptor fd) {
    if (permission) return adopted(std::move(fd));
    return std::make_shared<descriptor_stream>(adopt_without_permission(std::move(fd)));
  };
  s.in = adopt(std::move(in.first));
  s.out = adopt(std::move(out.second));
  s.feed = std::move(in.second);
  s.sink = std::move(out.first);
  return s;
}

subject slave() {
  auto [master, slave] = make_terminal();
  return two_ways({std::move(slave), std::move(master)});
}
subject slave_of_another_user() {
  auto [master, slave] = make_terminal();
  subject s;
  s.shared.push_back(share(slave));
  s.in = s.out = std::make_shared<descriptor_stream>(adopt_without_permission(std::move(slave)));
  s.sink = share(master);
  s.feed = std::move(master);
  return s;
}
subject master() { return two_ways(make_terminal()); }
subject socket_pair() { return two_ways(make_socket_pair()); }
subject pipes() { return one_way_each(make_pipe(), make_pipe(), true); }
subject pipes_of_another_user() { return one_way_each(make_pipe(), make_pipe(), false); }
subject fifos() { return one_way_each(make_fifo(), make_fifo(), true); }
subject fifos_of_another_user() { return one_way_each(make_fifo(), make_fifo(), false); }

struct kind {
  const char* name;
  subject (*make)();
};
constexpr kind kinds[] = {
    {"slave", slave},   {"slave of another user", slave_of_another_user},
    {"master", master}, {"socket", socket_pair},
    {"pipes", pipes},   {"pipes of another user", pipes_of_another_user},
    {"FIFOs", fifos},   {"FIFOs of another user", fifos_of_another_user},
};

byte_stream& side_of(subject& s, operation which) {
  return which < operation::send ? *s.in : *s.out;
}

/// Sends until there is no room. Terminals make room for a while although nobody reads.
task<> fill(byte_stream& out, byte_pattern& l) {
  outcome room;
  while (!room.error) {
    l.sent(co_await outcome_of(cosock::with_timeout(20ms, out.send(l.next(1 << 20)))));
    room = co_await outcome_of(cosock::with_timeout(5ms, out.wait_writable()));
  }
}

/// Reads what was sent, until all of it has come.
task<> read_back(int sink, byte_pattern& l) {
  while (l.on_the_way() != 0) {
    const std::string part = read_available(sink);
    BOOST_REQUIRE(l.received(part.data(), part.size()));
    co_await cosock::yield();
  }
}

void check_flags(const subject& s) {
  for (const auto& fd : s.shared) BOOST_TEST(is_blocking(fd.get()));
}

}  // namespace

/// The limits end what waits; what was cancelled has lost no byte, and counts no byte too many.
COROUTINE_TEST_CASE(limits_end_what_waits) {
  for (const kind& k : kinds) {
    BOOST_TEST_INFO_SCOPE(k.name);
    subject s = k.make();
    byte_pattern l;
    char into[8];
    co_await fill(*s.out, l);
    for (const operation which : all_operations) {
      BOOST_TEST_INFO_SCOPE(which);
      const outcome o = co_await outcome_of(
          cosock::with_timeout(2ms, perform(which, side_of(s, which), into, l, 1000)));
      BOOST_TEST(o.is(error::cancelled));
      BOOST_TEST(o.bytes == 0u);
    }
    write_all(s.feed.get(), "in time");
    co_await s.in->receive_exactly(cosock::mutable_buffer(into, 7));
    BOOST_TEST(std::string_view(into, 7) == "in time");
    co_await read_back(s.sink.get(), l);
    BOOST_TEST(l.on_the_way() == 0u);
    check_flags(s);
  }
}

/// Closed, cancelled and destroyed at the time at which each operation waits.
COROUTINE_TEST_CASE(operations_end_with_their_stream) {
  for (const kind& k : kinds) {
    for (const operation which : all_operations) {
      for (const bool closes : {true, false}) {
        BOOST_TEST_INFO_SCOPE(k.name << ", " << which << (closes ? ", closed" : ", cancelled"));
        subject s = k.make();
        byte_pattern l;
        char into[8];
        if (which >= operation::send) co_await fill(*s.out, l);
        pending_op op;
        co_await cosock::with_nursery([&](nursery& n) -> task<> {
          start(n, op, [&] { return perform(which, side_of(s, which), into, l, 1000); });
          co_await let_others_run();
          BOOST_TEST(!op.done);
          if (closes) {
            s.in->close();
            s.out->close();
          } else {
            n.cancel();
          }
        });
        BOOST_TEST(op.result.is(closes ? error::closed : error::cancelled));
        check_flags(s);
      }
    }
  }
}

/// What is waited for arrives.
COROUTINE_TEST_CASE(readiness_wakes_each_operation) {
  for (const kind& k : kinds) {
    for (const operation which : all_operations) {
      BOOST_TEST_INFO_SCOPE(k.name << ", " << which);
      subject s = k.make();
      byte_pattern l;
      char into[8];
      if (which >= operation::send) co_await fill(*s.out, l);
      pending_op op;
      co_await cosock::with_nursery([&](nursery& n) -> task<> {
        start(n, op, [&] { return perform(which, side_of(s, which), into, l, 1000); });
        co_await let_others_run();
        BOOST_TEST(!op.done);
        if (which < operation::send) {
          write_all(s.feed.get(), "exactly!");
        } else {
          while (!op.done) {
            const std::string part = read_available(s.sink.get());
            l.out += part.size();
            co_await cosock::yield();
          }
        }
        co_await ended(op);
      });
      BOOST_TEST(!op.result.error);
      if (which == operation::receive || which == operation::receive_exactly)
        BOOST_TEST(std::string_view(into, 8) == "exactly!");
      check_flags(s);
    }
  }
}

/// A loop that ends while operations wait, and streams that outlive it.
BOOST_AUTO_TEST_CASE(loop_is_destroyed_while_operations_wait) {
  const alarm_clock guard(60);
  for (const kind& k : kinds) {
    for (const operation which : all_operations) {
      BOOST_TEST_INFO_SCOPE(k.name << ", " << which);
      std::optional<subject> s;
      byte_pattern l;
      char into[8];
      {
        cosock::loop loop;
        loop.run(
            [](const kind& k, std::optional<subject>& s, byte_pattern& l, bool fills) -> task<> {
              s.emplace(k.make());
              if (fills) co_await fill(*s->out, l);
            }(k, s, l, which >= operation::send));
        auto waits = loop.start(perform(which, side_of(*s, which), into, l, 1000));
        loop.poll();
        BOOST_TEST(!waits.done());
      }
      BOOST_TEST(!s->in->is_open());
      check_flags(*s);
    }
  }
}

/// A sender whose other side is not read is stopped by its limit, and others run meanwhile.
COROUTINE_TEST_CASE(a_full_stream_stops_nobody_else) {
  for (const kind& k : kinds) {
    BOOST_TEST_INFO_SCOPE(k.name);
    subject s = k.make();
    byte_pattern l;
    int turns = 0;
    co_await cosock::with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (;; ++turns) co_await cosock::yield();
      });
      l.sent(co_await outcome_of(cosock::with_timeout(50ms, s.out->send(l.next(8 << 20)))));
      n.cancel();
    });
    BOOST_TEST(turns > 10);
    BOOST_TEST(l.in != 0u);
    co_await read_back(s.sink.get(), l);
  }
}

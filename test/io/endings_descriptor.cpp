// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The endings of each operation on every kind of descriptor in blocking mode, and of finish().

#include <cosock/descriptor_stream.hpp>

#define BOOST_TEST_MODULE endings_descriptor
#include "descriptor_tools.hpp"
#include "stream_endings.hpp"

#include <cosock/finish.hpp>
#include <cosock/local.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace {

using cosock::task;
using cosock::unique_descriptor;
using test::descriptor_ends;
using test::operation_kind;
using test::stream_kind;
using test::stream_subject;
using test::waitable;
using test::way;

using shared_subject = std::shared_ptr<stream_subject>;

task<shared_subject> make_subject(unique_descriptor own, unique_descriptor peer, bool permission) {
  auto s = std::make_shared<stream_subject>();
  s->same_file = test::share(own);
  s->fd = s->same_file.get();
  s->peer = std::move(peer);
  s->stream = std::make_unique<test::descriptor_stream>(test::adopted(std::move(own), permission));
  co_return s;
}

/// The stream reads from the first end, or writes to the second one.
template <descriptor_ends (*make)(), bool reads, bool permission>
shared_subject one_way(cosock::loop& on) {
  descriptor_ends ends = make();
  if (!reads) std::swap(ends.first, ends.second);
  return on.run(make_subject(std::move(ends.first), std::move(ends.second), permission));
}
descriptor_ends make_socket_pair() { return test::make_socket_pair(); }

void break_pipe(stream_subject& s) { s.peer.close(); }
template <descriptor_ends (*make)()>
void add_one_way(std::vector<operation_kind>& rows, const std::string& name) {
  const stream_kind from = {.name = name, .make = one_way<make, true, true>, .sends = false};
  const stream_kind from_other = {
      .name = name + "_of_another_user", .make = one_way<make, true, false>, .sends = false};
  const auto broken = test::system_code(EPIPE);
  const stream_kind to = {.name = name,
                          .make = one_way<make, false, true>,
                          .reset = break_pipe,
                          .send_fails_with = broken,
                          .receives = false};
  const stream_kind to_other = {.name = name + "_of_another_user",
                                .make = one_way<make, false, false>,
                                .reset = break_pipe,
                                .send_fails_with = broken,
                                .receives = false};
  for (const stream_kind& k : {from, from_other, to, to_other})
    test::append(rows, test::stream_rows(k));
}

/// Receives only: what the system buffers of a terminal changes while nobody reads.
template <bool is_master, bool permission>
stream_kind terminal(const char* name) {
  return {
      .name = name,
      .make =
          [](cosock::loop& on) {
            descriptor_ends ends = test::make_terminal();
            if (!is_master) std::swap(ends.first, ends.second);
            return on.run(make_subject(std::move(ends.first), std::move(ends.second), permission));
          },
      .sends = false};
}

task<shared_subject> make_local() {
  auto [own, peer] = test::make_socket_pair();
  auto s = std::make_shared<stream_subject>();
  s->fd = own.get();
  s->peer = std::move(peer);
  s->stream = std::make_unique<cosock::local_stream_socket>(
      cosock::local_stream_socket::adopt(own.release()));
  co_return s;
}

waitable finish(cosock::loop& on) {
  const shared_subject s = on.run(make_local());
  BOOST_REQUIRE(::send(s->fd, "unread", 6, 0) == 6);  // what a close of the peer makes a reset
  static const auto end = [](cosock::byte_stream& stream) -> task<> {
    BOOST_TEST(co_await stream.finish(std::chrono::minutes(1)));
  };
  return {.wait = [s] { return end(*s->stream); },
          .provide = [s] { ::shutdown(s->peer.get(), SHUT_WR); },
          .fail = [s] { s->peer.close(); },
          .close = [s] { s->stream->close(); }};
}

std::vector<operation_kind> all_rows() {
  std::vector<operation_kind> rows;
  add_one_way<test::make_pipe>(rows, "pipe");
  add_one_way<test::make_fifo>(rows, "fifo");
  for (const stream_kind& k :
       {terminal<false, true>("terminal"), terminal<false, false>("terminal_of_another_user"),
        terminal<true, true>("master_of_terminal")})
    for (operation_kind row : test::stream_rows(k)) {
      row.counts_descriptors = false;
      rows.push_back(row);
    }
  const stream_kind sockets = {.name = "socket",
                               .make = one_way<make_socket_pair, true, true>,
                               .reset = test::reset_local,
                               .receive_fails_with = test::system_code(ECONNRESET),
                               .send_fails_with = test::system_code(EPIPE)};
  test::append(rows, test::stream_rows(sockets));
  rows.push_back({.name = "finish",
                  .make = finish,
                  .fails_with = test::system_code(ECONNRESET),
                  .once = true,
                  .except = {{way::destroy, "the stream outlives the call"}}});
  return rows;
}

const test::register_endings registered(all_rows());

}  // namespace

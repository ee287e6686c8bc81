// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/descriptor_stream.hpp>

#define BOOST_TEST_MODULE descriptor_conformance
#include "descriptor_tools.hpp"
#include "stream_conformance.hpp"

#include <memory>

namespace {

using namespace test;
using cosock::task;
using test::descriptor_stream;

stream_pair streams_over(test::descriptor_ends ends) {
  const auto over = [](test::unique_descriptor& end) {
    return std::make_unique<descriptor_stream>(descriptor_stream::adopt(end.release()));
  };
  auto first = over(ends.first);
  return {std::move(first), over(ends.second)};
}

task<stream_pair> socket_pair() { co_return streams_over(test::make_socket_pair()); }

/// The master can be in non-blocking mode from the beginning; otherwise its calls are made by
/// threads.
task<stream_pair> master_and_slave() { co_return streams_over(test::make_terminal()); }
task<stream_pair> slave_and_master() {
  auto [master, slave] = test::make_terminal();
  ::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK);
  co_return streams_over({std::move(slave), std::move(master)});
}

const register_suite of_sockets("socket", socket_pair);
const register_suite of_slaves("slave_and_master", slave_and_master, {.half_close = false});
// When a master closes, the system discards what the slave has not read; and a master can be
// written to although the slave has closed.
const register_suite of_masters("master_and_slave", master_and_slave,
                                {.half_close = false,
                                 .tells_of_close = false,
                                 .delivers_after_close = false,
                                 .closes_at_once = false,
                                 .stays_in_loop = false});

}  // namespace

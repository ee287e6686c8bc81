// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an operation of Asio is awaited in a task with Asio's token
// says: this cannot be awaited in a cosock::task: an operation of Asio needs the token cosock::use_task
#include <cosock/task.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

cosock::task<> wait(boost::asio::steady_timer& timer) {
  co_await timer.async_wait(boost::asio::use_awaitable);
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an operation of Asio is awaited in a task, and is none of the things that can be
// says: this cannot be awaited in a cosock::task: an operation of Asio needs the token cosock::use_task
#include <cosock/task.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>

cosock::task<> wait(boost::asio::steady_timer& timer) {
  co_await timer.async_wait(boost::asio::deferred);
}

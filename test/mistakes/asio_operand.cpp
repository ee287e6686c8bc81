// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// mistake: an operation of Asio is given to with_timeout without cosock's token
// says: this is neither a task nor an operation of cosock: an operation of Asio needs the token
#include <cosock/cancel.hpp>
#include <cosock/task.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/steady_timer.hpp>

cosock::task<> wait(boost::asio::steady_timer& timer) {
  co_await cosock::with_timeout(std::chrono::seconds(1), timer.async_wait(boost::asio::deferred));
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <stdexcept>
#include <string>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::byte_stream;
using cosock::task;

cosock::endpoint unused_endpoint() {  // nobody listens on its port
  const cosock::tcp_acceptor acceptor({cosock::address::loopback_v4(), 0});
  return acceptor.local_endpoint();
}

//! [catch]
task<std::string> describe_connecting(cosock::endpoint endpoint) {
  try {
    cosock::tcp_socket socket = co_await cosock::connect(endpoint);
    co_return "connected";
  } catch (const boost::system::system_error& e) {
    // A time limit of this program, or of the system.
    if (e.code() == boost::system::errc::timed_out) co_return "too late";
    if (e.code() == boost::system::errc::connection_refused) co_return "nobody listens";
    throw;  // other errors; `cancelled` must always be rethrown
  }
}
//! [catch]

//! [result]
task<std::size_t> receive_or_nothing(byte_stream& peer, cosock::mutable_buffer buffer) {
  const auto n = co_await cosock::as_result(peer.receive(buffer));
  if (n.error() == boost::system::errc::connection_reset) co_return 0;
  co_return n.value();  // returns the value, or throws the error
}
//! [result]

//! [end]
task<> ends_of_streams(byte_stream& local, byte_stream& remote) {
  co_await remote.send("abc");
  remote.shutdown_send();
  char block[8];
  std::size_t received = 0;
  try {
    co_await local.receive_exactly(block);
  } catch (const cosock::transfer_error& e) {
    check(e.code() == cosock::error::end_of_stream);  // fewer than 8 bytes before the end
    received = e.bytes_transferred();
  }
  check(received == 3);
  check(co_await local.receive(block) == 0);  // 0: the end of the stream
}
//! [end]

//! [after]
task<> report(byte_stream& peer, task<> work) {
  std::string message;
  try {
    co_await std::move(work);
  } catch (const std::exception& e) {
    message = e.what();  // C++ allows no co_await here
  }
  if (!message.empty()) co_await peer.send("error: " + message + '\n');
}
//! [after]

//! [finally]
task<> work_with(byte_stream& peer, task<> work) {
  const auto say_goodbye = [&] { return cosock::with_timeout(1s, peer.send("goodbye\n")); };
  co_await cosock::finally(std::move(work), say_goodbye);
}
//! [finally]

//! [several]
task<> fails_with(const char* message) {
  co_await cosock::yield();
  throw std::runtime_error(message);
}

task<> fails_when_cancelled(const char* message) {
  const auto result = co_await cosock::as_result(cosock::sleep_for(1h));
  if (result.error() == cosock::error::cancelled) throw std::runtime_error(message);
}

task<> several_errors() {
  std::size_t error_count = 0;
  try {
    co_await cosock::when_all(fails_with("the disk is full"), fails_when_cancelled("no backup"));
  } catch (const cosock::multiple_errors& e) {
    error_count = e.errors().size();
    check(cosock::error_message(e.errors()[0]) == "the disk is full");
    check(cosock::error_message(e.errors()[1]) == "no backup");
  }
  check(error_count == 2);
}
//! [several]

//! [siblings]
task<> error_cancels_siblings() {
  bool sibling_ended = false;
  std::string reason;
  try {
    co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
      tasks.start([&]() -> task<> {
        const auto result = co_await cosock::as_result(cosock::sleep_for(1h));
        sibling_ended = result.error() == cosock::error::cancelled;
      });
      tasks.start(fails_with, "the disk is full");
      co_return;
    });
  } catch (const std::runtime_error& e) {
    reason = e.what();
  }
  check(sibling_ended && reason == "the disk is full");
}
//! [siblings]

//! [who]
task<> names_what_failed() {
  std::string text;
  try {
    (void)co_await cosock::connect("localhost", unused_endpoint().port());
  } catch (const boost::system::system_error& e) {
    text = e.what();
  }
  // cannot connect to localhost:4711: ... 127.0.0.1:4711: Connection refused ...
  check(text.find("localhost") != text.npos);
  check(text.find("127.0.0.1") != text.npos);
  check(text.find("Connection refused") != text.npos);
}
//! [who]

task<> cleans_up() {
  auto [local, remote] = cosock::local_pair();
  std::string thrown;
  try {
    co_await work_with(local, fails_with("no room"));
  } catch (const std::runtime_error& e) {
    thrown = e.what();
  }
  char text[8];
  co_await remote.receive_exactly(text);
  check(thrown == "no room" && std::string_view(text, 8) == "goodbye\n");
}

//! [details]
class import_error : public cosock::detailed_error {
 public:
  import_error(const boost::system::error_code& code, int rows) : detailed_error(code), rows(rows) {}
  std::exception_ptr with_code(const boost::system::error_code& code) const override {
    return std::make_exception_ptr(import_error(code, rows));
  }
  int rows;  // that were imported before the error
};

task<int> import_rows(byte_stream& from) {
  int rows = 0;
  char row[8];
  try {
    for (;; ++rows) co_await from.receive_exactly(row);
  } catch (const boost::system::system_error& e) {
    throw import_error(e.code(), rows);
  }
}

task<int> imported_in_time(byte_stream& from) {
  try {
    co_return co_await cosock::with_timeout(10ms, import_rows(from));
  } catch (const import_error& e) {
    check(e.code() == cosock::error::timed_out);  // inside the limit it was `cancelled`
    co_return e.rows;
  }
}
//! [details]

task<> run_examples() {
  check(co_await describe_connecting(unused_endpoint()) == "nobody listens");
  auto [local, remote] = cosock::local_pair();
  char buffer[64];
  co_await remote.send("x");
  check(co_await receive_or_nothing(local, buffer) == 1);
  co_await report(local, fails_with("the disk is full"));
  co_await remote.receive_exactly(cosock::buffer(buffer, 24));
  check(std::string_view(buffer, 24) == "error: the disk is full\n");
  co_await ends_of_streams(local, remote);
  co_await several_errors();
  co_await error_cancels_siblings();
  co_await names_what_failed();
  co_await cleans_up();
  auto [importer, source] = cosock::local_pair();
  co_await source.send("row 1...row 2...row");
  check(co_await imported_in_time(importer) == 2);
}

}  // namespace

int main() { return run_snippets(run_examples()); }

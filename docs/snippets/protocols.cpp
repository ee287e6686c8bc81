// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

#include <cosock/cosock.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;

namespace {

using cosock::task;

const cosock::endpoint any_port{cosock::address::loopback_v4(), 0};

//! [http]
struct http_request {
  std::string method;
  std::string target;
  std::string body;
  bool keep_alive = true;
};

// The next request of a client; false if the client has ended.
task<bool> read_request(cosock::buffered_reader& client, http_request& request) {
  const auto first = co_await client.read_line();
  if (!first) co_return false;
  const std::size_t space = first->find(' ');
  const std::size_t end = first->rfind(" HTTP/1.");
  if (end == first->npos || space >= end) throw std::invalid_argument("not HTTP/1");
  request = {.method = std::string(first->substr(0, space)),
             .target = std::string(first->substr(space + 1, end - space - 1)),
             .body = {}};
  std::size_t length = 0;
  for (;;) {
    const auto field = co_await client.read_line();
    if (!field) throw std::invalid_argument("the header ends early");
    if (field->empty()) break;
    if (field->starts_with("Content-Length: "))
      std::from_chars(field->data() + 16, field->data() + field->size(), length);
    if (*field == "Connection: close") request.keep_alive = false;
  }
  const auto body = co_await client.read_exactly(length);  // at most the capacity of the reader
  if (!body) throw std::invalid_argument("the body ends early");
  request.body = *body;
  co_return true;
}

// One client of an HTTP server: requests until it, or the server, has had enough.
task<> serve_http(cosock::tcp_socket& socket, const cosock::connection& connection) {
  cosock::buffered_reader client(socket);
  http_request request;
  do {
    // Between requests, the server may stop: an idle client is left at once.
    const auto next = co_await cosock::with_timeout(
        60s, cosock::when_any(client.wait_readable(), connection.draining()));
    if (!std::get<0>(next.results)) co_return;
    if (!co_await cosock::with_timeout(10s, read_request(client, request))) co_return;
    const std::string body = request.method + ' ' + request.target + ' ' + request.body + '\n';
    const bool last = !request.keep_alive || connection.is_draining();
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) +
                             (last ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
    co_await socket.send(std::array{cosock::const_buffer(head), cosock::const_buffer(body)});
  } while (request.keep_alive && !connection.is_draining());
}
//! [http]

//! [pipeline]
// Many tasks send requests of a line over one connection; the replies come in the same order.
class pipelined_client {
 public:
  explicit pipelined_client(cosock::byte_stream& server)
      : server_(server), out_(server, {.max_messages = max_pending}) {}

  // Returns the reply. If the connection is lost before, throws `broken_promise`.
  task<std::string> request(std::string line) {
    const auto permit = co_await window_.acquire();
    auto [promise, reply] = cosock::make_promise<std::string>();
    // Nothing waits between these two, so both queues have the same order.
    if (!out_.try_send(line + '\n'))
      throw boost::system::system_error(make_error_code(cosock::error::closed));
    pending_.push_back(std::move(promise));
    co_return co_await reply.get();
  }

  // Runs beside the requests, until the server ends or the connection is lost.
  task<> run() {
    struct losing {
      pipelined_client& client;
      ~losing() { client.pending_.clear(); }
    } const at_end{*this};
    co_await cosock::when_any(out_.run(), receive_replies());
  }

 private:
  task<> receive_replies() {
    cosock::buffered_reader replies(server_);
    while (const auto line = co_await replies.read_line()) {
      if (pending_.empty()) throw std::runtime_error("a reply without a request");
      pending_.front().set_value(*line);  // nobody may want it any more
      pending_.pop_front();
    }
  }

  static constexpr std::size_t max_pending = 64;
  cosock::byte_stream& server_;
  cosock::outbox out_;
  cosock::semaphore window_{max_pending};
  std::deque<cosock::promise<std::string>> pending_;
};
//! [pipeline]

//! [upgrade]
task<> serve_frames(cosock::byte_stream& client) {
  cosock::buffered_reader frames(client);
  while (const auto frame = co_await frames.read_frame())
    co_await cosock::send_frame(client, *frame);
}

// Commands of a line, until the client asks for frames. It may have sent some already.
task<> serve_commands(cosock::tcp_socket& socket) {
  cosock::buffered_reader client(socket);
  while (const auto command = co_await client.read_line()) {
    if (*command == "FRAMES") {
      co_await client.send("ok\n");
      co_return co_await serve_frames(client);  // the reader is the stream from now on
    }
    co_await client.send("unknown command\n");
  }
}
//! [upgrade]

//! [forward]
// Forwards a client to a server that may be restarting: tries for 30 s, as long as the client stays.
task<> forward(cosock::tcp_socket& client, cosock::endpoint target) {
  cosock::reconnecting_client server({.base = 10ms, .cap = 1s});
  cosock::cancel_scope connecting;
  connecting.set_deadline(cosock::now() + 30s);
  const auto connect = [&]() -> task<cosock::tcp_socket> {
    auto first = co_await cosock::when_any(cosock::connect(target), client.wait_peer_closed());
    auto& connected = std::get<0>(first.results);
    if (!connected) throw std::runtime_error("the client has gone");
    co_return std::move(*connected);
  };
  const auto session = [&](cosock::tcp_socket& connected) -> task<cosock::session_result> {
    connecting.clear_deadline();
    co_await cosock::copy_both(client, connected, {.idle = 5min});
    co_return cosock::session_result::done;
  };
  co_await connecting.run(server.run(connect, session));
}
//! [forward]

//! [child]
// Sorts lines with sort(1).
task<std::string> sort(std::string lines) {
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    ::execlp("sort", "sort", nullptr);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  auto receives = cosock::descriptor_stream::adopt(out[0]);
  auto sends = cosock::descriptor_stream::adopt(in[1]);
  cosock::duplex_stream process(std::move(receives), std::move(sends));
  co_await process.send(lines);
  process.shutdown_send();  // the end of its input
  std::string sorted = co_await cosock::receive_to_end(process, 1 << 20);
  ::waitpid(child, nullptr, 0);
  co_return sorted;
}
//! [child]

//! [descriptors]
// Opens files for a client that may not open them. Each request is a frame with a path.
task<> serve_files(cosock::local_stream_socket& client) {
  cosock::buffered_reader requests(client);
  while (const auto request = co_await requests.read_frame()) {
    const std::string path(*request);
    const auto file = cosock::unique_descriptor::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const int descriptor = file.get();
    const std::size_t count = file.is_open() ? 1 : 0;
    const std::string_view status(file.is_open() ? "opened" : "refused");
    co_await cosock::send_frame_with_descriptors(client, status, {&descriptor, count});
  }
}

// Such a client. It accepts at most one descriptor at a time.
class file_client {
 public:
  explicit file_client(cosock::local_stream_socket& server)
      : server_(server), replies_(server, {.max_descriptors = 1}) {}

  task<cosock::unique_descriptor> open(std::string path) {
    co_await cosock::send_frame(server_, path);
    const auto reply = co_await replies_.read_frame();
    auto descriptors = replies_.take_descriptors();  // those of this reply
    if (reply != "opened" || descriptors.size() != 1) throw std::runtime_error("no " + path);
    co_return std::move(descriptors.front());
  }

 private:
  cosock::local_stream_socket& server_;
  cosock::buffered_reader replies_;
};
//! [descriptors]

task<> asks_http() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  const auto client = [&]() -> task<> {
    auto busy = co_await cosock::connect(acceptor.local_endpoint());
    auto idle = co_await cosock::connect(acceptor.local_endpoint());
    co_await busy.send("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n");
    cosock::buffered_reader answers(busy);
    for (const std::string_view body : {"POST /a abc", "GET /b "}) {
      while (!(co_await answers.read_line())->empty()) continue;
      check(co_await answers.read_line() == body);
    }
    handle.stop();
    check(!co_await answers.read_line());
    char byte;
    check(co_await idle.receive(cosock::buffer(&byte, 1)) == 0);
  };
  co_await cosock::when_all(cosock::serve(acceptor, serve_http, handle), client());
  check(handle.counters().failed == 0);
}

task<> pipelines() {
  auto [near, far] = cosock::local_pair();
  const auto server = [&, &far = far]() -> task<> {
    cosock::buffered_reader requests(far);
    for (int i = 0; i != 100; ++i) {
      const auto request = co_await requests.read_line();
      co_await far.send("reply to " + std::string(*request) + '\n');
    }
    co_await requests.read_line();
    far.close();  // without an answer
  };
  pipelined_client client(near);
  const auto ask = [&](int i) -> task<> {
    const std::string number = std::to_string(i);
    check(co_await client.request(number) == "reply to " + number);
  };
  const auto requests = [&]() -> task<> {
    co_await cosock::with_nursery([&](cosock::nursery& tasks) -> task<> {
      for (int i = 0; i != 100; ++i) tasks.start(ask, i);
      co_return;
    });
    const auto lost = co_await cosock::as_result(client.request("one more"));
    check(lost.error() == cosock::error::broken_promise);
  };
  co_await cosock::when_all(server(), client.run(), requests());
}

task<> upgrades() {
  cosock::tcp_acceptor acceptor(any_port);
  cosock::server_handle handle;
  const auto client = [&]() -> task<> {
    auto socket = co_await cosock::connect(acceptor.local_endpoint());
    co_await socket.send(std::string_view("HELLO\nFRAMES\n\0\0\0\3abc", 20));
    cosock::buffered_reader answers(socket);
    check(co_await answers.read_line() == "unknown command");
    check(co_await answers.read_line() == "ok");
    check(co_await answers.read_frame() == "abc");
    handle.stop();
    co_await socket.finish();
  };
  co_await cosock::when_all(cosock::serve(acceptor, serve_commands, handle), client());
}

task<> forwards() {
  cosock::tcp_acceptor front(any_port);
  cosock::server_handle handle;
  // A port on which nothing listens yet.
  cosock::tcp_acceptor later(any_port);
  const cosock::endpoint target = later.local_endpoint();
  later.close();
  const auto handler = [&](cosock::tcp_socket& client) { return forward(client, target); };
  const auto server = [&]() -> task<> {
    co_await cosock::sleep_for(20ms);
    cosock::tcp_acceptor acceptor(target);
    auto peer = co_await acceptor.accept();
    char word[5];
    co_await peer.receive_exactly(word);
    co_await peer.send(word);
    co_await peer.finish();
  };
  const auto client = [&]() -> task<> {
    auto socket = co_await cosock::connect(front.local_endpoint());
    co_await socket.send("hello");
    char answer[5];
    co_await socket.receive_exactly(answer);
    check(std::string_view(answer, 5) == "hello");
    socket.shutdown_send();
    check(co_await socket.receive(answer) == 0);
    handle.stop();
  };
  co_await cosock::when_all(cosock::serve(front, handler, handle), server(), client());
  check(handle.counters().failed == 0);
}

task<> passes_descriptors() {
  auto [near, far] = cosock::local_pair();
  const auto requests = [](cosock::local_stream_socket& server) -> task<> {
    file_client client(server);
    const auto file = co_await client.open("/dev/zero");
    char byte = 1;
    check(::read(file.get(), &byte, 1) == 1 && byte == 0);
    check((co_await cosock::as_result(client.open("/"))).has_value());
    bool refused = false;
    try {
      co_await client.open("/no/such/file");
    } catch (const std::runtime_error&) {
      refused = true;
    }
    check(refused);
    server.shutdown_send();
  };
  co_await cosock::when_all(serve_files(far), requests(near));
}

task<> run_examples() {
  co_await asks_http();
  co_await pipelines();
  co_await upgrades();
  co_await forwards();
  check(co_await sort("b\na\n") == "a\nb\n");
  co_await passes_descriptors();
}

}  // namespace

int main() { return run_snippets(run_examples()); }

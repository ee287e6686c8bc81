// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The same as library.cpp for the bridge to Asio.

#include <cosock/asio.hpp>
#include <cosock/run.hpp>
#include <cosock/time.hpp>
#include <cosock/when.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <future>
#include <span>
#include <string>
#include <tuple>
#include <utility>

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

cosock::task<> nothing_given() { co_return; }
cosock::task<int> number(int n) { co_return n; }

asio::awaitable<int> coroutine() {
  const auto on = co_await asio::this_coro::executor;
  co_await cosock::spawn(on, nothing_given(), asio::use_awaitable);
  co_return co_await cosock::spawn(on, number(1), asio::use_awaitable);
}
asio::awaitable<void> void_coroutine() { co_return; }

cosock::task<> operations() {
  asio::steady_timer timer(cosock::loop_executor(), 1ms);
  co_await timer.async_wait(cosock::use_task);
  co_await cosock::with_timeout(1s, timer.async_wait(cosock::use_task));
  static_cast<void>(co_await cosock::as_result(timer.async_wait(cosock::use_task)));
  static_cast<void>(
      co_await cosock::when_any(timer.async_wait(cosock::use_task), cosock::sleep_for(1ms)));
  using default_timer = cosock::use_task_t::as_default_on_t<asio::steady_timer>;
  default_timer other(cosock::loop_executor(), 1ms);
  co_await other.async_wait();
  static_cast<void>(co_await cosock::await(coroutine()));
  co_await cosock::await(void_coroutine());

  asio::ip::tcp::socket socket(cosock::loop_executor());
  std::array<char, 64> array;
  static_cast<void>(co_await socket.async_read_some(asio::buffer(array), cosock::use_task));
  static_cast<void>(co_await asio::async_write(socket, asio::buffer(array), cosock::use_task));
  asio::ip::tcp::resolver resolver(cosock::loop_executor());
  static_cast<void>(co_await resolver.async_resolve("localhost", "80", cosock::use_task));
  co_await asio::post(cosock::loop_executor(), cosock::use_task);
  const auto two = [](auto token) {
    return asio::async_initiate<decltype(token), void(std::exception_ptr, int, std::string)>(
        [](auto handler) { std::move(handler)(nullptr, 1, "one"); }, token);
  };
  static_cast<void>(std::get<1>(co_await two(cosock::use_task)));
}

template <class Socket>
cosock::task<> converted(Socket socket) {
  cosock::native(socket).set_option(asio::socket_base::receive_buffer_size(4096));
  asio::socket_base::receive_buffer_size size;
  cosock::native(socket).get_option(size);
  static_cast<void>(cosock::native(socket).protocol());
  auto theirs = cosock::release(std::move(socket));
  auto ours = cosock::adopt(std::move(theirs));
  auto strand = asio::make_strand(cosock::loop_executor());
  static_cast<void>(cosock::release(std::move(ours), strand));
  co_return;
}

cosock::task<> conversions() {
  co_await converted(cosock::tcp_socket());
  co_await converted(cosock::tcp_acceptor());
  co_await converted(cosock::udp_socket());
  co_await converted(cosock::local_stream_socket());
  co_await converted(cosock::local_acceptor());
  co_await converted(cosock::local_datagram_socket());
  co_await converted(cosock::local_seqpacket_socket());
}

cosock::task<> streams() {
  cosock::asio_stream<asio::ip::tcp::socket> stream(std::in_place, cosock::loop_executor());
  auto moved = std::move(stream);
  stream = std::move(moved);
  static_cast<void>(stream.next_layer().is_open());
  static_cast<void>(co_await stream.send("text"));
  static_cast<void>(co_await stream.finish());
  stream.shutdown_send();
  stream.close();

  auto [left, right] = cosock::local_pair();
  cosock::async_stream layer(left);
  std::array<char, 64> array;
  static_cast<void>(co_await layer.async_read_some(asio::buffer(array), cosock::use_task));
  const std::array<asio::const_buffer, 2> two = {asio::buffer(array), asio::buffer("text")};
  static_cast<void>(co_await layer.async_write_some(two, cosock::use_task));
  static_cast<void>(co_await asio::async_read(layer, asio::buffer(array), cosock::use_task));
  static_cast<void>(co_await asio::async_write(layer, two, cosock::use_task));
  layer.async_read_some(asio::buffer(array), [](boost::system::error_code, std::size_t) {});
  static_cast<void>(layer.lowest_layer().next_layer().is_open());
  beast_close_socket(right);
}

cosock::task<int> program() {
  co_await operations();
  co_await conversions();
  co_await streams();
  co_return 0;
}

}  // namespace

int main() {
  asio::io_context context;
  cosock::spawn(context, nothing_given());
  const auto print = [](const std::exception_ptr& error) {
    static_cast<void>(cosock::error_message(error));
  };
  cosock::spawn(context, nothing_given, print);
  cosock::spawn(
      asio::make_strand(context), [] { return number(1); }, [](const std::exception_ptr&, int) {});
  auto result = cosock::spawn(context, number(1), asio::use_future);
  asio::thread_pool pool(1);
  static_cast<void>(cosock::spawn(pool, nothing_given(), asio::deferred));
  static_cast<void>(asio::co_spawn(context, coroutine(), asio::use_future));
  context.run();
  return cosock::run(program()) + result.get();
}

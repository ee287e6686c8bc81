// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// A program that is only compiled, with all the warnings that projects ask for: the compiler sees
// every template and inline function of the headers, apart from the bridge, as a user has it.

#include <cosock/cosock.hpp>

#include <array>
#include <chrono>
#include <compare>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

cosock::task<> nothing_given() { co_return; }
cosock::task<int> number(int n) { co_return n; }
cosock::task<std::string> text(std::string value) { co_return value; }
cosock::task<int&> reference(int& value) { co_return value; }
cosock::task<std::unique_ptr<int>> owner() { co_return std::make_unique<int>(1); }

cosock::task<> errors() {
  const auto plain = co_await cosock::as_result(number(1));
  if (!plain) throw boost::system::system_error(plain.error());
  const auto none = co_await cosock::as_result(nothing_given());
  if (!none) co_return;
  int value = 0;
  const auto referred = co_await cosock::as_result(reference(value));
  if (referred) referred.value().get() = 1;
  const auto slept = co_await cosock::as_result(cosock::sleep_for(1ms));
  if (!slept) static_cast<void>(cosock::error_message(slept.error()));
  static_cast<void>(co_await cosock::as_result(cosock::with_timeout(1s, cosock::yield())));
  static_cast<void>(co_await cosock::as_result(cosock::when_any(number(1), owner())));
  try {
    co_await nothing_given();
  } catch (const cosock::multiple_errors& several) {
    static_cast<void>(several.errors().size());
  } catch (const cosock::transfer_error& partial) {
    static_cast<void>(partial.bytes_transferred());
    static_cast<void>(partial.datagrams_transferred());
  } catch (const boost::system::system_error& error) {
    if (error.code() == cosock::error::closed) throw;
    static_cast<void>(cosock::is_permanent(error.code()));
  }
}

/// A stream and a socket of the program.
class own_stream final : public cosock::custom_stream {
  std::size_t do_receive(std::span<const cosock::mutable_buffer>,
                         boost::system::error_code&) noexcept override {
    notify_readable();
    return 0;
  }
  std::size_t do_send(std::span<const cosock::const_buffer> from,
                      boost::system::error_code&) noexcept override {
    return from[0].size();
  }
  void do_shutdown_send(boost::system::error_code&) noexcept override {}
};
class own_socket final : public cosock::custom_datagram_socket<cosock::endpoint> {
  std::size_t do_receive(std::span<const cosock::mutable_buffer>, cosock::endpoint&,
                         cosock::packet_info&, boost::system::error_code&) noexcept override {
    return 0;
  }
  void do_send(std::span<const cosock::const_buffer>, const cosock::endpoint*,
               const cosock::packet_info*, boost::system::error_code&) noexcept override {}
};

template <cosock::awaitable_of<int> A>
cosock::task<> takes_awaitable(A operation) {
  static_cast<void>(co_await std::move(operation));
}

cosock::task<> own_types() {
  own_stream stream;
  static_cast<void>(co_await stream.send("x"));
  static_cast<void>(stream.try_send_some("x"));
  char byte[1];
  static_cast<void>(stream.try_receive(byte));
  static_cast<void>(co_await cosock::receive_to_end(stream, 10));
  own_stream moved(std::move(stream));
  moved = own_stream();
  static_cast<void>(co_await cosock::as_result(moved.wait_peer_closed()));
  own_socket socket;
  static_cast<void>(co_await socket.receive(byte));
  own_socket other(std::move(socket));
  other = own_socket();
  cosock::datagram_batch batch(1, 1);
  static_cast<void>(co_await other.receive_batch(batch));
  co_await takes_awaitable(number(1));

  auto [promise, future] = cosock::make_promise<std::string>();
  static_cast<void>(promise.set_value("x"));
  static_cast<void>(co_await future.get());
  auto [told, heard] = cosock::make_promise();
  static_cast<void>(told.set_value());
  co_await heard.get();

  cosock::duplex_stream joined(cosock::descriptor_stream::standard_input(),
                               cosock::descriptor_stream::standard_output());
  static_cast<void>(joined.is_open());
  cosock::tcp_acceptor acceptor({cosock::address::any_v4(), 0}, {.send_buffer = 4096});
  acceptor.set_backlog(1);
  if (const auto accepted = acceptor.try_accept()) static_cast<void>(accepted->linger());
  cosock::tcp_socket connected = co_await cosock::connect(acceptor.local_endpoint());
  connected.set_keep_alive({.idle = 10s, .count = 2});
  connected.set_user_timeout(1s);
  static_cast<void>(connected.keep_alive().interval);
  static_cast<void>(cosock::unlimited.is_unlimited());
}

cosock::task<> combinations() {
  int value = 0;
  const auto [one, two, three] =
      co_await cosock::when_all(number(1), reference(value), cosock::sleep_for(1ms));
  two.get() = one;
  static_cast<void>(three == std::monostate());
  std::vector<cosock::task<int>> numbers;
  numbers.push_back(number(1));
  static_cast<void>(co_await cosock::when_all(std::move(numbers)));
  std::vector<cosock::task<>> tasks;
  tasks.push_back(nothing_given());
  static_cast<void>(co_await cosock::when_all(std::move(tasks)));

  auto any = co_await cosock::when_any(number(1), text("one"), cosock::sleep_for(1ms));
  if (any.index == 1 && any.get<1>()) static_cast<void>(any.get<1>()->size());
  std::vector<cosock::task<int>> more;
  more.push_back(number(1));
  const auto first = co_await cosock::when_any(std::move(more));
  static_cast<void>(first.results.at(first.index).has_value());

  static_cast<void>(co_await cosock::with_timeout(1.5s, number(1)));
  static_cast<void>(co_await cosock::with_timeout(std::chrono::duration<float>(1), number(1)));
  const auto soon = cosock::clock::now() + 1s;
  static_cast<void>(co_await cosock::with_deadline(soon, owner()));
  static_cast<void>(co_await cosock::shielded(cosock::with_timeout(1s, text("bye"))));
  static_cast<void>(co_await cosock::with_grace(1s, reference(value)));
  cosock::cancel_scope scope;
  scope.set_deadline(soon);
  scope.clear_deadline();
  static_cast<void>(co_await scope.run(number(1)));
  co_await scope.run(cosock::sleep_until(soon));
  scope.cancel();
  static_cast<void>(scope.is_cancelled() || scope.timed_out());

  const auto cleanup = [] { return cosock::with_timeout(1s, nothing_given()); };
  static_cast<void>(co_await cosock::finally(number(1), cleanup));
  static_cast<void>(co_await cosock::finally(reference(value), cleanup));
  co_await cosock::finally(cosock::sleep_for(1ms), cleanup);
}

cosock::task<> children() {
  int counter = 0;
  const auto count = [&counter](const std::string& name, int n) -> cosock::task<> {
    counter += n + static_cast<int>(name.size());
    co_return;
  };
  co_await cosock::with_nursery([&](cosock::nursery& nursery) -> cosock::task<> {
    nursery.start(nothing_given);
    nursery.start(count, std::string("name"), 1);
    if (nursery.active() > 1 && !nursery.is_cancelled()) nursery.cancel();
    co_return;
  });
  const auto body = [](cosock::nursery&) -> cosock::task<> { co_return; };
  static_cast<void>(co_await cosock::as_result(cosock::with_nursery(body)));
}

template <class T>
cosock::task<> pass_on(T value) {
  cosock::channel<T> channel(4);
  co_await channel.send(std::move(value));
  std::optional<T> received = co_await channel.receive();
  if (received && channel.try_send(std::move(*received))) received = channel.try_receive();
  static_cast<void>(channel.size() + channel.capacity());
  if (!channel.is_closed()) channel.close();

  cosock::mailbox<T> mailbox(4);
  const auto sender = mailbox.make_sender();
  if (received && sender.try_send(std::move(*received)) && !sender.is_closed())
    static_cast<void>(co_await mailbox.receive());
  static_cast<void>(mailbox.try_receive());
  sender.close();
  if (!mailbox.is_closed()) mailbox.close();
}

cosock::task<> queues() {
  co_await pass_on(1);
  co_await pass_on(std::string("text"));
  co_await pass_on(std::make_unique<int>(1));
  const std::string kept = "kept";
  cosock::channel<std::string> channel(0);
  co_await channel.send(kept);
  static_cast<void>(channel.try_send(kept));

  cosock::broadcast<std::string> broadcast(8);
  auto subscription = broadcast.subscribe();
  auto moved = std::move(subscription);
  if (broadcast.send("all")) static_cast<void>(co_await moved.receive());
  static_cast<void>(moved.missed());
  if (!broadcast.is_closed()) broadcast.close();

  cosock::event event;
  event.set();
  co_await event.wait();
  cosock::semaphore semaphore(2);
  auto permit = co_await semaphore.acquire(2);
  permit.release();
  permit = semaphore.try_acquire();
  if (permit) permit.forget();
  semaphore.release();
  cosock::mutex mutex;
  const auto guard = co_await mutex.lock();
  static_cast<void>(!mutex.is_locked() && mutex.try_lock());
}

cosock::task<> streams(cosock::byte_stream& stream) {
  std::array<char, 64> array;
  char plain[64];
  std::vector<unsigned char> bytes(64);
  std::string letters = "letters";
  static_cast<void>(co_await stream.receive(array));
  static_cast<void>(co_await stream.receive(std::span(bytes)));
  static_cast<void>(co_await stream.receive_exactly(plain));
  static_cast<void>(co_await stream.send("literal"));
  static_cast<void>(co_await stream.send(letters + "more"));
  static_cast<void>(co_await stream.send_some(std::string_view(letters)));
  static_cast<void>(co_await stream.send(cosock::buffer(letters, 3)));
  const std::array<cosock::mutable_buffer, 2> to = {cosock::mutable_buffer(array),
                                                    cosock::mutable_buffer(plain)};
  static_cast<void>(co_await stream.receive(to));
  static_cast<void>(co_await stream.receive_exactly(to));
  const std::vector<std::string> from = {"one", "two"};
  static_cast<void>(co_await stream.send(from));
  static_cast<void>(co_await stream.send_some(from));
  co_await stream.wait_readable();
  co_await stream.wait_writable();
  static_cast<void>(co_await stream.finish());
  static_cast<void>(co_await stream.finish(1s));
  static_cast<void>(co_await stream.finish({.timeout = 1s, .max_discard = 0}));

  cosock::buffered_reader reader(stream, {.capacity = 1024, .max_descriptors = 1});
  while (const auto line = co_await reader.read_line())
    static_cast<void>(co_await stream.send(*line));
  static_cast<void>(co_await reader.skip_line());
  static_cast<void>(co_await reader.read_until("\r\n\r\n"));
  static_cast<void>(co_await reader.read_exactly(4));
  static_cast<void>(co_await reader.read_exactly(array));
  static_cast<void>(co_await reader.read_frame({.prefix = cosock::frame_prefix::varint}));
  static_cast<void>(co_await reader.receive(plain));
  static_cast<void>(reader.buffered().size() + reader.capacity());
  static_cast<void>(reader.take_descriptors().size() + reader.take_descriptors(1).size());
  co_await cosock::send_frame(stream, "frame");

  cosock::outbox outbox(stream,
                        {.max_messages = 16, .policy = cosock::overflow_policy::drop_oldest});
  co_await outbox.send("message");
  co_await outbox.send(std::make_shared<const std::string>("shared"));
  if (outbox.try_send("message")) co_await outbox.flush();
  co_await outbox.run();
  outbox.close();
  static_cast<void>(outbox.messages() + outbox.bytes() + outbox.dropped());

  auto in = cosock::descriptor_stream::standard_input();
  static_cast<void>(co_await cosock::copy(in, stream, {.buffer = 4096}));
  const auto copied = co_await cosock::copy_both(in, stream);
  static_cast<void>(copied.first_to_second + copied.second_to_first);
}

template <class Socket>
cosock::task<> datagrams(Socket& socket, const typename Socket::endpoint_type& peer) {
  std::array<char, 64> array;
  cosock::packet_info info;
  const std::vector<std::string> pieces = {"one", "two"};
  const std::array<cosock::mutable_buffer, 1> into = {cosock::mutable_buffer(array)};
  const auto received = co_await socket.receive(array);
  if (received.truncated) co_return;
  static_cast<void>(co_await socket.receive(into));
  const auto from = co_await socket.receive_from(array);
  if (from.from != peer) co_return;
  static_cast<void>(co_await socket.receive_from(into));
  static_cast<void>(co_await socket.receive_from(array, info));
  static_cast<void>(info.ecn());
  static_cast<void>(co_await socket.send("datagram"));
  static_cast<void>(co_await socket.send(pieces));
  static_cast<void>(co_await socket.send_to("datagram", peer));
  static_cast<void>(co_await socket.send_to(pieces, peer));
  static_cast<void>(co_await socket.send_to("datagram", peer, info));
  static_cast<void>(co_await socket.send_to({.data = "datagram", .to = peer, .traffic_class = 1}));
  typename Socket::batch batch(4, 2048);
  static_cast<void>(co_await socket.receive_batch(batch));
  for (const auto datagram : batch)
    if (!datagram.truncated() && datagram.from() == peer)
      static_cast<void>(datagram.data().size() + datagram.length() +
                        static_cast<unsigned>(datagram.info().hops.value_or(0)));
  static_cast<void>(batch.size() != 0 && !batch.empty());
  const std::array<cosock::const_buffer, 2> all = {cosock::const_buffer("a"),
                                                   cosock::const_buffer("b")};
  static_cast<void>(co_await socket.send_batch(all));
  static_cast<void>(co_await socket.send_batch(all, peer));
  const std::array<typename Socket::outgoing, 1> addressed = {{{.data = "a", .to = peer}}};
  static_cast<void>(co_await socket.send_batch(addressed));
  co_await socket.wait_readable();
  if (socket.is_open()) socket.close();
}

cosock::task<> udp() {
  cosock::udp_socket socket({cosock::address::loopback_v4(), 0}, {.receive_time = true});
  co_await datagrams(socket, socket.local_endpoint());
  static_cast<void>(cosock::network_interface::by_index(1).interface_index());
}

template <class Socket>
cosock::task<> descriptors(Socket& socket) {
  char array[64];
  const std::array<int, 1> sent = {socket.native_handle()};
  static_cast<void>(co_await socket.send_with_descriptors("d", sent));
  auto received = co_await socket.receive_with_descriptors(array, 1);
  if (!received.descriptors.empty()) static_cast<void>(received.descriptors.front().release());
}

cosock::task<> local() {
  auto [left, right] = cosock::local_pair();
  co_await cosock::send_frame_with_descriptors(left, "frame", {});
  co_await cosock::send_frame_with_descriptors(left, "frame", {},
                                               {.prefix = cosock::frame_prefix::varint});
  co_await descriptors(left);
  static_cast<void>(right.peer_credentials());
  auto [first, second] = cosock::local_pair<cosock::local_seqpacket_socket>();
  co_await descriptors(first);
  static_cast<void>(co_await second.send_message("message"));
  char array[64];
  static_cast<void>(co_await first.receive_message(array));
  auto [one, two] = cosock::local_pair<cosock::local_datagram_socket>();
  co_await descriptors(one);
  co_await datagrams(two, one.local_endpoint());
  const auto at = cosock::local_endpoint::abstract("name");
  cosock::local_acceptor acceptor(at, {.backlog = 16});
  static_cast<void>(co_await acceptor.accept());
  cosock::local_acceptor<cosock::local_seqpacket_socket> packets(at);
  static_cast<void>(co_await packets.accept());
  static_cast<void>(co_await cosock::connect(at));
  static_cast<void>(co_await cosock::connect<cosock::local_seqpacket_socket>(
      at, {.configure = [](int descriptor) { static_cast<void>(descriptor); }}));
}

cosock::task<> by_value(cosock::tcp_socket socket) {
  static_cast<void>(co_await socket.send("value"));
}
cosock::task<> by_reference(cosock::tcp_socket& socket) {
  static_cast<void>(co_await socket.send("reference"));
}
cosock::task<> with_facts(cosock::tcp_socket socket, const cosock::connection& about) {
  static_cast<void>(co_await socket.send(about.peer().to_string()));
}
cosock::task<> reference_with_facts(cosock::tcp_socket& socket, const cosock::connection& about) {
  static_cast<void>(co_await socket.send(about.local().to_string()));
}
cosock::task<> local_handler(cosock::local_stream_socket&, const cosock::local_connection& about) {
  static_cast<void>(about.peer() == about.local());
  co_return;
}
cosock::task<> any_stream(cosock::byte_stream& stream) {
  static_cast<void>(co_await stream.send("any"));
}

cosock::task<> servers() {
  cosock::server_handle server;
  const auto print = [](const std::exception_ptr& error) {
    static_cast<void>(cosock::error_message(error));
  };
  cosock::tcp_acceptor acceptor({cosock::address::any_v6(), 0}, {.reuse_port = true});
  co_await cosock::serve(acceptor, by_value, server, {.drain = 1s, .on_error = print});
  co_await cosock::serve(acceptor, by_reference, {.max_connections = 8});
  co_await cosock::serve(acceptor, by_reference, {.max_per_peer = 8, .first_byte = 1s});
  co_await cosock::serve(acceptor, with_facts);
  co_await cosock::serve(acceptor, reference_with_facts);
  co_await cosock::serve(acceptor, any_stream);
  int connections = 0;
  const auto counting = [&connections](auto& socket) -> cosock::task<> {
    ++connections;
    co_await any_stream(socket);
  };
  co_await cosock::serve(acceptor, counting);
  server.stop();
  static_cast<void>(server.is_stopping() && server.counters().active != 0);

  cosock::local_acceptor local(cosock::local_endpoint{});
  co_await cosock::serve(local, local_handler);
  cosock::tcp_acceptors acceptors({cosock::address::any_v4(), 0}, 2);
  cosock::local_acceptors dealt(cosock::local_endpoint{}, 2);
  cosock::local_acceptors<cosock::local_seqpacket_socket> packets(cosock::local_endpoint{}, 2);
  co_await cosock::run_loops(2, [&](unsigned index) -> cosock::task<> {
    auto shared = acceptors.acceptor(index);
    co_await cosock::serve(shared, by_value);
    auto turns = dealt.acceptor(index);
    co_await cosock::serve(turns, local_handler);
    auto messages = packets.acceptor(index);
    static_cast<void>(co_await messages.accept());
  });
  co_await cosock::run_loops(nothing_given, {.pin = true});

  cosock::inherited_sockets inherited;
  if (inherited.contains("a")) {
    const auto one = inherited.take<cosock::tcp_acceptor>("a");
    const auto all = inherited.take<cosock::tcp_acceptors>("b", 2);
    const auto turns = inherited.take<cosock::local_acceptors<>>("c", std::nullopt);
    const auto udp = inherited.take<cosock::udp_socket>(inherited.size() - 1);
  }
  cosock::passed_sockets passed;
  passed.add("a", local);
  passed.add("b", acceptors);
  passed.add("c", dealt);
  std::vector<std::string> arguments;
  static_cast<void>(co_await cosock::hand_over(arguments, passed, {.ready_timeout = 1s}));
  cosock::notify_ready();
  co_await cosock::keep_watchdog();
}

cosock::task<> clients() {
  const cosock::address_range range = cosock::address_range::parse("10.0.0.0/8");
  const cosock::address_filter filter{.allow = cosock::address_range::non_global_networks(),
                                      .deny = {&range, 1}};
  static_cast<void>(range.contains(range.network()) && filter.permits(range.network()));
  static_cast<void>(range == cosock::address_range(cosock::address::loopback_v4(), 32));
  const cosock::endpoint at(cosock::address::loopback_v6(), 80);
  const auto connected = co_await cosock::connect(at, {.no_delay = false, .filter = filter});
  if (!connected.is_open()) co_return;
  static_cast<void>(co_await cosock::connect("localhost", 80, {.timeout = 1s}));
  static_cast<void>(co_await cosock::connect("localhost", "http"));
  for (const auto& found : co_await cosock::resolve("localhost", 80))
    static_cast<void>(found < at || found.address() >= at.address());
  static_cast<void>(cosock::local_endpoint() <=> cosock::local_endpoint::path("/path"));

  const auto observer = [](const cosock::retry_event& notice) {
    static_cast<void>(notice.attempt);
  };
  cosock::reconnecting_client client({.cap = 1s, .on_retry = observer});
  co_await client.run("localhost", 80, by_reference);
  co_await client.run("localhost", "http",
                      [](cosock::tcp_socket&) -> cosock::task<cosock::session_result> {
                        co_return cosock::session_result::done;
                      });
  co_await client.run([] { return cosock::connect(cosock::local_endpoint::path("/path")); },
                      [](cosock::local_stream_socket&) -> cosock::task<> { co_return; });
  client.succeeded();
  client.stop();
  cosock::signal_set signals({1});
  static_cast<void>(co_await signals.wait());
}

cosock::task<int> program() {
  co_await errors();
  co_await combinations();
  co_await own_types();
  co_await children();
  co_await queues();
  auto stream = cosock::descriptor_stream::duplicate(0);
  co_await streams(stream);
  co_await udp();
  co_await local();
  co_await servers();
  co_await clients();
  co_return 0;
}

}  // namespace

int main(int count, char**) {
  if (count > 1) return cosock::usage_error("no arguments");
  cosock::loop loop;
  auto started = loop.start(text("started"));
  loop.post([] { static_cast<void>(cosock::loop::current()); });
  while (!started.done()) loop.run_some();
  static_cast<void>(loop.poll());
  started.cancel();
  static_cast<void>(started.result());
  static_cast<void>(loop.run(number(1)));
  loop.run(nothing_given());
  auto other = loop.start(nothing_given());
  other.result();
  return cosock::run(program());
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// behind_proxy(): who is trusted, and how a header is received from a socket. The first bytes are looked at while
// they stay in the socket, so that only a header is taken, and by one call. It owns no connection.

#include <cosock/proxy_protocol.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"
#include "io/descriptor.hpp"

#include <cosock/cancel.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>

namespace cosock {

trusted_proxies::trusted_proxies() noexcept = default;
trusted_proxies::trusted_proxies(std::initializer_list<std::string_view> ranges) {
  for (const std::string_view range : ranges) add(range);
}
trusted_proxies::trusted_proxies(const trusted_proxies&) = default;
trusted_proxies::trusted_proxies(trusted_proxies&&) noexcept = default;
trusted_proxies& trusted_proxies::operator=(const trusted_proxies&) = default;
trusted_proxies& trusted_proxies::operator=(trusted_proxies&&) noexcept = default;
trusted_proxies::~trusted_proxies() = default;

void trusted_proxies::add(std::string_view range) {
  if (range == "unix") {
    local_ = true;
    return;
  }
  try {
    add(address_range::parse(range));
  } catch (const boost::system::system_error& e) {
    detail::raise_as(
        detail::own_failure(error::invalid_address),
        "trusted proxy " + std::string(e.what()) + "; a network, an address or unix is accepted");
  }
}
void trusted_proxies::add(const address_range& range) { ranges_.push_back(range); }

bool trusted_proxies::contains(const address& peer) const noexcept {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&peer](const address_range& range) { return range.contains(peer); });
}
bool trusted_proxies::contains(const local_endpoint&) const noexcept { return local_; }

namespace detail {

void check_options(const proxy_options& options) {
  constexpr std::size_t least = 16 + 216;
  if (options.max_size < least || options.max_size > proxy_header::max_v2_size)
    throw std::invalid_argument("cosock: proxy_options::max_size is " +
                                std::to_string(options.max_size) +
                                ", where 232 to 65551 are accepted");
}

namespace {

using state = proxy_extent::state;

/// Enough for all headers with addresses, and for most TLVs.
constexpr std::size_t usual_size = 536;

/// What was seen of a header so far.
struct sight {
  proxy_extent extent{state::incomplete, 0, nullptr};
  std::size_t bytes = 0;  // that have arrived
  failure lost;           // the connection
  bool ended = false;     // the peer sends no more

  /// Looks at the bytes that wait. Returns whether that decides. `trusted`: whether more than the
  /// signature matters.
  bool look(descriptor& from, bool trusted, std::size_t max_size) noexcept {
    char usual[usual_size];
    char* const first = large_ ? large_.get() : usual;
    const std::size_t room = large_ ? extent.size : sizeof usual;
    const ssize_t n = from.look(first, trusted ? room : proxy_v2_signature.size());
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) return lose(from.lost(errno));
    bytes = static_cast<std::size_t>(n);
    if (n == 0) return ended = true;
    extent = proxy_header::measure({first, bytes});
    if (!trusted && is_signature({first, bytes})) extent.found = state::complete;
    if (extent.found != state::incomplete || extent.size > max_size) return true;
    if (extent.size > room) {
      large_.reset(new (std::nothrow) char[extent.size]);
      return large_ ? look(from, trusted, max_size) : lose(system_failure(ENOMEM));
    }
    if (from.peer() == peer_state::closed) return ended = true;
    from.maybe_ready[reading] = false;
    return false;
  }

 private:
  bool lose(failure why) noexcept {
    lost = why;
    return true;
  }
  static bool is_signature(std::string_view first) noexcept {
    return first.starts_with(proxy_v1_signature) || first.starts_with(proxy_v2_signature);
  }
  std::unique_ptr<char[]> large_;  // for a header that is larger than usual
};

/// Waits until the first bytes decide. They stay in the socket. Each arrival is an edge, so it looks once for each.
class COSOCK_AWAITABLE first_bytes_operation final : public awaiter_of<first_bytes_operation>,
                                                     public io_operation {
 public:
  first_bytes_operation(io_object* const& target, sight& seen, bool trusted,
                        std::size_t max_size) noexcept
      : target_(target), seen_(seen), max_size_(max_size), trusted_(trusted) {}
  first_bytes_operation(first_bytes_operation&& other) noexcept
      : io_operation(),
        target_(other.target_),
        seen_(other.seen_),
        max_size_(other.max_size_),
        trusted_(other.trusted_) {}
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    return enter(awaiting, parent) ? launch(target_, reading) : complete_or_yield();
  }
  void describe_operation(wait_report& to) const override { to.operation("PROXY header"); }
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

 private:
  step attempt() override {
    return seen_.look(*descriptor_of(object_), trusted_, max_size_) ? step::done : step::pending;
  }
  io_object* const& target_;
  sight& seen_;
  std::size_t max_size_;
  bool trusted_;
};

[[noreturn]] void refuse(error code, const std::string& peer, const std::string& why) {
  raise_as(own_failure(code), peer + ": " + why);
}

/// Takes a header that has arrived out of the socket, and no byte more.
proxy_header take(byte_stream& from, std::size_t size) {
  char usual[usual_size];
  std::string large;
  char* into = usual;
  if (size > sizeof usual) {
    large.resize(size);
    into = large.data();
  }
  // One call, unless a local peer has sent it in pieces.
  for (std::size_t taken = 0; taken != size;) {
    const std::optional<std::size_t> n = from.try_receive({into + taken, size - taken});
    if (!n || *n == 0) raise(own_failure(error::end_of_stream));
    taken += *n;
  }
  return proxy_header::parse({into, size});
}

/// Throws what is wrong with the first bytes.
[[noreturn]] void refuse_sight(const sight& seen, const std::string& peer, std::size_t max_size) {
  if (seen.lost) raise(seen.lost, peer + ": waiting for the PROXY header");
  switch (seen.extent.found) {
    case state::none:
      refuse(error::malformed_proxy_header, peer,
             "a trusted proxy begins a connection with a PROXY header, and this one did not");
    case state::malformed:
      refuse(error::malformed_proxy_header, peer,
             std::string("PROXY header: ") + seen.extent.fault);
    case state::complete:
    case state::incomplete: break;
  }
  if (seen.extent.size > max_size)
    refuse(error::malformed_proxy_header, peer,
           "PROXY header: it has " + std::to_string(seen.extent.size) +
               " bytes, where proxy_options::max_size is " + std::to_string(max_size));
  refuse(error::end_of_stream, peer,
         "the connection ended after " + std::to_string(seen.bytes) + " bytes of a PROXY header");
}

/// Throws what is wrong with the first bytes, or takes the header. `name`: makes the name of the peer,
/// which only errors need.
template <class Name>
proxy_header finish(byte_stream& from, const sight& seen, std::size_t max_size, Name name) {
  if (seen.lost || seen.extent.found != state::complete || seen.extent.size > max_size)
    refuse_sight(seen, name(), max_size);
  try {
    return take(from, seen.extent.size);
  } catch (const boost::system::system_error& e) {
    raise_as(to_failure(e.code()), name() + ": " + e.what());
  }
}

[[noreturn]] void refuse_late(const sight& seen, const std::string& peer,
                              const operation_error& why) {
  refuse(error::timed_out, peer,
         std::to_string(seen.bytes) +
             " bytes of the PROXY header have arrived: " + error_message(why));
}

std::string name_of(const endpoint& peer) { return peer.to_string(); }

std::string name_of(const proxied_connection& accepted) {
  return accepted.peer ? accepted.peer->to_string() : "local peer";
}

task<proxy_header> receive_header(byte_stream& from, std::string peer, proxy_options options) {
  check_options(options);
  sight seen;
  const auto in_time = co_await as_result(with_timeout(
      options.timeout,
      first_bytes_operation(stream_access::object_of(from), seen, true, options.max_size)));
  if (!in_time) {
    if (in_time.error() == error::timed_out) refuse_late(seen, peer, in_time.error());
    in_time.value();  // throws
  }
  co_return finish(from, seen, options.max_size, [&peer] { return peer; });
}

/// For a peer that is not trusted: returns if it is to be served.
void admit(const sight& seen, const proxied_connection& accepted) {
  if (seen.extent.found != state::complete) return;
  accepted.stream.close();
  refuse(error::untrusted_proxy, name_of(accepted),
         "it has sent a PROXY header, and is not a trusted proxy");
}

task<> serve_untrusted(proxy_options options, proxied_connection accepted) {
  io_object* const& object = stream_access::object_of(accepted.stream);
  if (options.untrusted == untrusted_peer::refuse) {
    accepted.stream.close();
    refuse(error::untrusted_proxy, name_of(accepted), "only trusted proxies are served");
  }
  sight seen;
  if (options.untrusted == untrusted_peer::serve_at_once) {
    if (object && object->loop) seen.look(*descriptor_of(object), false, options.max_size);
  } else {
    const auto in_time = co_await as_result(with_timeout(
        options.timeout, first_bytes_operation(object, seen, false, options.max_size)));
    // What has not arrived in time is no header.
    if (!in_time && in_time.error() != error::timed_out) in_time.value();
  }
  admit(seen, accepted);
  co_await accepted.call(accepted.handler, accepted.stream, accepted.connection);
}

bool is_reset(const boost::system::error_code& e) noexcept {
  return e == boost::system::errc::connection_reset || e == boost::system::errc::broken_pipe;
}

/// For the report of an error. Without memory for the name it names the proxy only.
void name_client(const kept_io_object& kept, const proxy_header& header) noexcept {
  try {
    if (header.source)
      kept.set_client(header.source->to_string());
    else if (header.local_source)
      kept.set_client(header.local_source->to_string());
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

task<> serve_proxied(const trusted_proxies& trusted, proxy_options options,
                     proxied_connection accepted) {
  const bool is_trusted = accepted.peer ? trusted.contains(accepted.peer->address())
                                        : trusted.contains(*accepted.local_peer);
  if (!is_trusted) {
    co_await serve_untrusted(options, accepted);
    co_return;
  }
  sight seen;
  const auto in_time = co_await as_result(
      with_timeout(options.timeout, first_bytes_operation(stream_access::object_of(accepted.stream),
                                                          seen, true, options.max_size)));
  if (!in_time && in_time.error() != error::timed_out) in_time.value();
  if (in_time && seen.bytes == 0 && (seen.ended || seen.lost)) {  // a check of the port
    accepted.stream.close();
    co_return;
  }
  std::optional<proxy_header> header;
  try {
    if (!in_time) refuse_late(seen, name_of(accepted), in_time.error());
    header.emplace(
        finish(accepted.stream, seen, options.max_size, [&accepted] { return name_of(accepted); }));
  } catch (...) {
    accepted.stream.close();
    throw;
  }
  if (header->source && !accepted.place.enter(header->source->address())) {
    accepted.stream.close();
    co_return;
  }
  struct publication {
    const proxy_header** place;
    ~publication() { *place = nullptr; }
  } const published{accepted.facts};
  *accepted.facts = &*header;
  const peer_scope::peer name = {header->source ? &*header->source : accepted.peer, &accepted.kept};
  try {
    co_await for_peer(name, accepted.call(accepted.handler, accepted.stream, accepted.connection));
  } catch (const boost::system::system_error& e) {
    // Proxies end their checks of a server with a reset.
    if (!header->is_local || !is_reset(e.code())) {
      name_client(accepted.kept, *header);
      throw;
    }
  } catch (...) {
    name_client(accepted.kept, *header);
    throw;
  }
}

}  // namespace detail

task<proxy_header> receive_proxy_header(tcp_socket& from, proxy_options options) {
  return detail::receive_header(from, detail::name_of(from.remote_endpoint()), options);
}
task<proxy_header> receive_proxy_header(local_stream_socket& from, proxy_options options) {
  return detail::receive_header(from, "local peer", options);
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Drives a simulated network: runs the loops of the hosts while they have something to do, then moves
// the time to what happens next.

#include <cosock/testing/network.hpp>
#include <cosock/testing/virtual_loop.hpp>

#include "core/text.hpp"
#include "testing/host_state.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace cosock::testing {

namespace detail {

namespace {

/// Time points of 0 and before have special meanings.
constexpr std::int64_t beginning = 1'000'000'000;
/// Polls that a loop needs more than one of, while the time stands still: thousands of turns each.
constexpr std::size_t max_polls = 500;

void check_probability(const char* option, double p) {
  if (!(p >= 0 && p <= 1))
    throw std::invalid_argument(std::string("cosock: link_options::") + option + ' ' +
                                std::to_string(p) + " is not from 0 to 1");
}
void check_time(const char* option, time_span t) {
  // So that sums of times do not overflow.
  if (t.count() < 0 || t > std::chrono::hours(24 * 365))
    throw std::invalid_argument(std::string("cosock: link_options::") + option + ' ' +
                                std::to_string(t.count()) + " ns is not from 0 to a year");
}
const link_options& checked(const link_options& o) {
  check_time("latency", o.latency);
  check_time("jitter", o.jitter);
  check_probability("loss", o.loss);
  check_probability("duplication", o.duplication);
  check_probability("reordering", o.reordering);
  if (o.bandwidth && *o.bandwidth == 0)
    throw std::invalid_argument(
        "cosock: link_options::bandwidth 0 is not positive; std::nullopt means no limit");
  if (o.mtu < 1280 || o.mtu > 65535)
    throw std::invalid_argument("cosock: link_options::mtu " + std::to_string(o.mtu) +
                                " is not from 1280 to 65535");
  return o;
}
const network_options& checked(const network_options& o) {
  checked(o.link);
  return o;
}

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return text;
}

address parse(const char* function, std::string_view text) {
  address parsed;
  if (!address::try_parse(text, parsed))
    throw std::invalid_argument(std::string("cosock: ") + function + ": \"" + std::string(text) +
                                "\" is no address: write 10.0.0.1 or 2001:db8::1");
  return parsed.unmapped();
}

address address_of_host(std::string_view text) {
  const address parsed = parse("network::host", text);
  if (parsed.is_loopback() || parsed.is_multicast() || parsed.is_any() || parsed.scope_id() != 0)
    throw std::invalid_argument("cosock: network::host: " + std::string(text) +
                                " cannot be the address of a host");
  return parsed;
}

void check_name(const char* function, std::string_view name) {
  address parsed;
  const bool good = !name.empty() && name.size() < 254 && !address::try_parse(name, parsed) &&
                    lower(name) != "localhost" && name.front() != '.' && name.back() != '.' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
                    });
  if (!good)
    throw std::invalid_argument(std::string("cosock: ") + function + ": \"" + std::string(name) +
                                "\" is no name of a host: write one such as chat.test");
}

}  // namespace

class network_state {
 public:
  explicit network_state(const network_options& options) : in(checked(options)) {
    in.now = beginning;
  }
  ~network_state() { hosts.clear(); }

  testing::host& add(std::vector<address> addresses, std::string_view name);
  void drive(std::int64_t limit, bool until_ended);
  void poll_hosts();
  void notice_wakes();
  std::string waits() const;
  machine& machine_of(testing::host& h) const {
    machine& m = h.state_->kernel;
    if (&m.in != &in)
      throw std::invalid_argument("cosock: the host is of another testing::network");
    return m;
  }
  host_state& state_of(testing::host& h) const noexcept { return *h.state_; }

  simulation in;
  std::atomic<bool> any_woken = false;
  std::vector<std::unique_ptr<testing::host>> hosts;
  std::size_t polls = 0;
  std::vector<unsigned> polled;
  bool driving = false;
};

testing::host& network_state::add(std::vector<address> addresses, std::string_view name) {
  for (auto a = addresses.begin(); a != addresses.end(); ++a) {
    if (const machine* const other = in.find(bytes_of(*a)))
      throw std::invalid_argument("cosock: network::host: " + a->to_string() +
                                  " is the address of another host" +
                                  (other->host_name.empty() ? "" : ", " + other->host_name));
    if (std::find(addresses.begin(), a, *a) != a)
      throw std::invalid_argument("cosock: network::host: " + a->to_string() + " is given twice");
  }
  if (!name.empty()) {
    check_name("network::host", name);
    for (const auto& m : in.machines)
      if (lower(m->host_name) == lower(name))
        throw std::invalid_argument("cosock: network::host: there is a host \"" +
                                    std::string(name) + "\" already");
  }
  if (in.machines.size() == 8192) throw std::length_error("cosock: network::host: 8192 hosts");
  machine& kernel = in.add(addresses, std::string(name));
  auto state = std::make_unique<host_state>(kernel, any_woken);
  hosts.push_back(std::unique_ptr<testing::host>(new testing::host(std::move(state))));
  if (!name.empty() && !in.names.contains(lower(name)))
    in.names[lower(name)].addresses = std::move(addresses);
  return *hosts.back();
}

void network_state::notice_wakes() {
  if (!any_woken.exchange(false)) return;
  for (const auto& m : in.machines)
    if (m->woken.exchange(false)) m->mark_dirty();
}

/// Until no loop has anything to do at this time.
void network_state::poll_hosts() {
  for (;;) {
    notice_wakes();
    if (in.dirty.empty()) break;
    std::swap(polled, in.dirty);
    std::sort(polled.begin(), polled.end());
    for (const unsigned index : polled) {
      host_state& h = state_of(*hosts[index]);
      h.kernel.is_dirty = false;
      if (h.poll() && ++polls > max_polls)
        throw std::runtime_error("cosock: a task on the host " + h.kernel.title() +
                                 " runs without end while the virtual time stands still");
    }
    polled.clear();
    if (in.failure) std::rethrow_exception(std::exchange(in.failure, nullptr));
  }
  in.settle();
}

/// What the tasks of each host wait for.
std::string network_state::waits() const {
  std::string text;
  for (const auto& h : hosts) {
    const std::string lines = state_of(*h).waits();
    if (lines.empty()) continue;
    text += "\non the host " + state_of(*h).kernel.title() + ':' + lines;
  }
  return text;
}

void network_state::drive(std::int64_t limit, bool until_ended) {
  if (driving || cosock::detail::scheduler::current())
    throw std::logic_error("cosock: a testing::network is run inside a task");
  const struct reset {
    bool& flag;
    ~reset() { flag = false; }
  } at_end{driving};
  driving = true;
  for (;;) {
    poll_hosts();
    if (until_ended && std::all_of(hosts.begin(), hosts.end(),
                                   [this](const auto& h) { return state_of(*h).has_ended(); }))
      return;
    std::int64_t next = in.events.next();
    if (!in.alarms.empty()) next = std::min(next, in.alarms.begin()->first);
    if (until_ended && next == never) throw stuck(waits());
    if (next > limit) {
      in.now = std::max(in.now, limit);
      return;
    }
    if (next > in.now) {
      in.now = next;
      polls = 0;
    }
    while (in.events.next() <= in.now) in.events.take()->happen();
    for (const auto& [at, index] : in.alarms) {
      if (at > in.now) break;
      in.machines[index]->mark_dirty();
    }
  }
}

}  // namespace detail

network::network(const network_options& options)
    : state_(std::make_unique<detail::network_state>(options)) {}
network::~network() = default;

testing::host& network::host(std::string_view address, std::string_view name) {
  return host({address}, name);
}
testing::host& network::host(std::initializer_list<std::string_view> addresses,
                             std::string_view name) {
  if (addresses.size() == 0)
    throw std::invalid_argument("cosock: network::host: a host has one address at least");
  std::vector<address> parsed;
  for (const std::string_view text : addresses) parsed.push_back(detail::address_of_host(text));
  return state_->add(std::move(parsed), name);
}

void network::link(testing::host& a, testing::host& b, const link_options& options) {
  link_one_way(a, b, options);
  link_one_way(b, a, options);
}
void network::link_one_way(testing::host& from, testing::host& to, const link_options& options) {
  state_->in.way(state_->machine_of(from), state_->machine_of(to)).options =
      detail::checked(options);
}

void network::partition(testing::host& a, testing::host& b, outage how) {
  partition_one_way(a, b, how);
  partition_one_way(b, a, how);
}
void network::partition_one_way(testing::host& from, testing::host& to, outage how) {
  state_->in.way(state_->machine_of(from), state_->machine_of(to)).state = how;
}
void network::heal(testing::host& a, testing::host& b) { partition(a, b, outage::none); }
void network::heal() {
  for (const auto& m : state_->in.machines)
    for (const auto& way : m->ways)
      if (way) way->state = outage::none;
}

void network::set_name(std::string_view name, std::initializer_list<std::string_view> addresses,
                       const name_options& options) {
  detail::check_name("network::set_name", name);
  const auto is_meant = [&options](const address& a) {
    return options.family == family::any || a.is_v4() == (options.family == family::v4);
  };
  std::vector<address> parsed;
  for (const std::string_view text : addresses) {
    parsed.push_back(detail::parse("network::set_name", text));
    if (!is_meant(parsed.back()))
      throw std::invalid_argument("cosock: network::set_name: " + std::string(text) +
                                  " is not an address of the family in the options");
  }
  detail::host_name_entry& entry = state_->in.names[detail::lower(name)];
  std::erase_if(entry.addresses, is_meant);
  entry.addresses.insert(entry.addresses.end(), parsed.begin(), parsed.end());
  if (options.family != family::v6) entry.v4 = options;
  if (options.family != family::v4) entry.v6 = options;
}

void network::at(time_span time, std::function<void()> function) {
  const std::int64_t at = time.count() > detail::never - detail::beginning
                              ? detail::never
                              : time.count() + detail::beginning;
  if (at < state_->in.now) throw std::invalid_argument("cosock: network::at: the time has passed");
  state_->in.call_at(at, std::move(function));
}

void network::run_for(time_span duration) {
  const std::int64_t now = state_->in.now;
  const std::int64_t span = std::max<std::int64_t>(duration.count(), 0);
  state_->drive(span > detail::never - 1 - now ? detail::never - 1 : now + span, false);
}
void network::run() { state_->drive(detail::never - 1, true); }

time_span network::elapsed() const noexcept {
  return std::chrono::nanoseconds(state_->in.now - detail::beginning);
}
std::uint64_t network::trace_hash() const noexcept { return state_->in.hash(); }

}  // namespace cosock::testing

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/resolve.hpp>

#include "detail/checkpoint.hpp"
#include "detail/engine.hpp"
#include "detail/system.hpp"
#include "detail/text.hpp"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <thread>

namespace cosock {

namespace detail {

namespace {

class lookup_operation;

/// One question to the system. Shared by whoever waits for the answer and the thread that asks, each
/// of which may be gone before the other. It is also the message that brings the answer back, so
/// that a thread of the pool has nothing left to allocate once it has asked.
struct lookup final : asio::detail::scheduler_operation {
  enum class question : unsigned char { addresses, port, name };

  explicit lookup(question what) : scheduler_operation(&complete), what(what) {}

  const question what;
  std::string host;
  std::string service;  // empty: port 0
  cosock::family family = cosock::family::any;
  address of;

  std::vector<endpoint> endpoints;
  std::string name;
  failure failed;

  std::shared_ptr<remote> back;
  std::shared_ptr<lookup> self;        // while it is on its way back
  lookup_operation* waiter = nullptr;  // touched on the loop only
  std::atomic<bool> abandoned = false;

  void ask() noexcept;

 private:
  void ask_address();
  void ask_name();
  static void complete(void* owner, scheduler_operation* base, const boost::system::error_code&,
                       std::size_t);
};

failure failure_of_lookup(int code) noexcept {
  switch (code) {
    case 0: return {};
    case EAI_SERVICE: return own_failure(error::service_not_found);
    case EAI_AGAIN:
    case EAI_FAIL: return own_failure(error::name_server);
    case EAI_MEMORY: return system_failure(ENOMEM);
    case EAI_SYSTEM: return system_failure(errno ? errno : EIO);
    default: return own_failure(error::host_not_found);
  }
}

void lookup::ask() noexcept {
  try {
    what == question::name ? ask_name() : ask_address();
  } catch (...) {
    failed = system_failure(ENOMEM);
  }
}

void lookup::ask_address() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = family == family::v4 ? AF_INET : family == family::v6 ? AF_INET6 : AF_UNSPEC;
  addrinfo* list = nullptr;
  const auto look_up = [&] {
    return ::getaddrinfo(what == question::port ? nullptr : host.c_str(),
                         service.empty() ? nullptr : service.c_str(), &hints, &list);
  };
  int code = look_up();
  if (code == EAI_SERVICE) {
    hints.ai_socktype = SOCK_DGRAM;  // a name that only UDP has: tftp, say
    code = look_up();
  }
  failed = failure_of_lookup(code);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(
      list, [](addrinfo* a) { if (a) ::freeaddrinfo(a); });
  for (const addrinfo* each = list; each; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    system_address at;
    std::memcpy(&at.storage, each->ai_addr, each->ai_addrlen);
    const endpoint one = at.to_endpoint();
    // glibc gives an address twice that stands in two lines of /etc/hosts.
    if (std::find(endpoints.begin(), endpoints.end(), one) == endpoints.end())
      endpoints.push_back(one);
  }
  if (!failed && endpoints.empty()) failed = own_failure(error::host_not_found);
}

void lookup::ask_name() {
  system_address at(endpoint(of, 0));
  char text[NI_MAXHOST];
  failed = failure_of_lookup(
      ::getnameinfo(at.get(), at.size, text, sizeof text, nullptr, 0, NI_NAMEREQD));
  if (!failed) name = text;
}

/// Waits for the answer to a lookup.
class lookup_operation final : public awaiter_of<lookup_operation>, public awaited {
 public:
  explicit lookup_operation(std::shared_ptr<lookup> of) noexcept : of_(std::move(of)) {}
  lookup_operation(const lookup_operation&) = delete;
  ~lookup_operation() { leave(); }

  bool start(std::coroutine_handle<> awaiting, scope& where);
  void result() {
    if (failure_) raise(failure_);
  }
  failure fail() noexcept { return failure_; }

  void answered() noexcept {
    of_->waiter = nullptr;
    engine::of(*scope_->on).make_ready(*this);
  }
  void fire() override { resume(); }
  void cancel() noexcept override {
    if (!of_->waiter) return;  // has its answer, and will be resumed
    failure_ = cancelled_failure();
    leave();
    engine::of(*scope_->on).make_ready(*this);
  }

 private:
  void leave() noexcept {
    if (!of_->waiter) return;
    of_->waiter = nullptr;
    of_->abandoned = true;
  }
  std::shared_ptr<lookup> of_;
};

void lookup::complete(void* owner, scheduler_operation* base, const boost::system::error_code&,
                      std::size_t) {
  const auto self = std::move(static_cast<lookup*>(base)->self);
  if (owner && self->waiter) self->waiter->answered();
}

/// Sends the answer to the loop that asked, if that is still there.
void hand_back(std::shared_ptr<lookup> answered) noexcept {
  const std::shared_ptr<remote> back = answered->back;
  const std::lock_guard lock(back->mutex);
  if (!back->to || answered->abandoned) return;
  lookup& on_its_way = *answered;
  on_its_way.self = std::move(answered);
  back->to->scheduler_.post_immediate_completion(&on_its_way, false);
}

/// The threads that ask. They are started when needed, end when idle, and nobody waits for them: the
/// system's resolver cannot be interrupted, so neither a loop nor the process may depend on it.
class pool {
 public:
  static constexpr std::size_t most_threads = 16;
  static constexpr std::size_t most_queued = 4096;

  /// The pool of this process. Never destroyed: threads may be using it at exit. A child that is
  /// forked has none of its parent's threads, so it gets a pool of its own.
  static pool& get() {
    static const int forking = pthread_atfork(nullptr, nullptr, [] {
      if (pool* const of_parent = current_.exchange(nullptr)) of_parent_ = of_parent;
    });
    (void)forking;
    pool* there = current_;
    if (there) return *there;
    auto fresh = std::make_unique<pool>();
    if (current_.compare_exchange_strong(there, fresh.get())) return *fresh.release();
    return *there;
  }

  failure add(std::shared_ptr<lookup> what) {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= most_queued)
      std::erase_if(queue_, [](const auto& each) { return each->abandoned.load(); });
    if (queue_.size() >= most_queued) return system_failure(ENOBUFS);
    queue_.push_back(std::move(what));
    if (idle_ < queue_.size() && threads_ < most_threads) {
      if (const failure f = start_thread(); f && threads_ == 0) {
        queue_.pop_back();
        return f;
      }
    }
    wake_.notify_one();
    return {};
  }

 private:
  failure start_thread() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
    failure failed;
    try {
      std::thread([this] { work(); }).detach();
      ++threads_;
    } catch (const std::system_error& e) {
      failed = system_failure(e.code().value());
    } catch (...) {
      failed = system_failure(ENOMEM);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return failed;
  }

  void work() noexcept {
    pthread_setname_np(pthread_self(), "cosock-resolve");
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      const bool more = wake_.wait_for(lock, std::chrono::seconds(10),
                                       [this] { return !queue_.empty(); });
      --idle_;
      if (!more) break;
      std::shared_ptr<lookup> job = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (!job->abandoned) {
        job->ask();
        hand_back(std::move(job));
      }
      job.reset();
      lock.lock();
    }
    --threads_;
  }

  inline static std::atomic<pool*> current_ = nullptr;
  inline static pool* of_parent_ = nullptr;  // so that it does not look like a leak
  [[maybe_unused]] pool* const before_ = of_parent_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<lookup>> queue_;
  std::size_t threads_ = 0;
  std::size_t idle_ = 0;
};

bool lookup_operation::start(std::coroutine_handle<> awaiting, scope& where) {
  if (!enter(awaiting, where)) return false;
  of_->back = engine::of(*where.on).remote_;
  of_->waiter = this;
  if (const failure f = pool::get().add(of_)) {
    of_->waiter = nullptr;
    of_->failed = f;
    return false;
  }
  suspend();
  return true;
}

bool is_number(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether the system may be asked for a service of this name: it takes " 80" and "-1" for ports.
bool may_be_service(std::string_view text) noexcept {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() < 64 && good(text[0]) && text.find('\0') == text.npos;
}

[[noreturn]] void raise_service(std::string_view service) {
  raise_as(own_failure(error::service_not_found),
           quoted(service) + ": neither a port from 0 to 65535 nor a known service");
}

/// The addresses that a host stands for which is none to be looked up.
std::vector<address> numeric(const std::string& host, bool passive) {
  address parsed;
  if (address::try_parse(host, parsed)) return {parsed};
  if (!host.empty()) return {};
  if (passive) return {address::any_v6(), address::any_v4()};
  return {address::loopback_v6(), address::loopback_v4()};
}

/// localhost, or a name below it: loopback, whatever a name server says (RFC 6761, section 6.3).
bool is_localhost(std::string_view host) noexcept {
  constexpr std::string_view name = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() < name.size()) return false;
  const std::string_view before = host.substr(0, host.size() - name.size());
  return (before.empty() || before.ends_with('.')) &&
         std::equal(name.begin(), name.end(), host.end() - name.size(),
                    [](char a, char b) { return a == (b | 0x20); });
}

bool wanted(const address& a, family which) noexcept {
  return which == family::any || a.is_v6() == (which == family::v6);
}

}  // namespace
}  // namespace detail

task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                    resolve_options options) {
  using namespace detail;
  co_await checkpoint();
  const bool number = is_number(service);
  std::uint16_t port = number ? parse_port(service) : 0;
  if (!number && !may_be_service(service)) raise_service(service);
  if (host.size() > 255 || host.find('\0') != host.npos)
    raise(own_failure(error::host_not_found), printable(host));

  std::vector<address> addresses = numeric(host, options.passive);
  if (addresses.empty()) {
    auto asked = std::make_shared<lookup>(lookup::question::addresses);
    asked->host = host;
    asked->family = options.family;
    if (!number) asked->service = service;
    co_await lookup_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (!asked->failed) {
      if (number)
        for (endpoint& each : asked->endpoints) each = {each.address(), port};
      co_return std::move(asked->endpoints);
    }
    if (!is_localhost(host)) raise(asked->failed, printable(host));
    addresses = numeric("", false);  // a system without /etc/hosts, or without this name in it
  }

  if (!number) {
    auto asked = std::make_shared<lookup>(lookup::question::port);
    asked->service = service;
    co_await lookup_operation(asked);
    if (to_error_code(asked->failed) == error::service_not_found) raise_service(service);
    if (asked->failed) raise(asked->failed, service);
    port = asked->endpoints.front().port();
  }
  std::vector<endpoint> found;
  for (const address& each : addresses)
    if (wanted(each, options.family)) found.emplace_back(each, port);
  if (found.empty())
    raise_as(own_failure(error::host_not_found), host + ": not an address of the wanted family");
  co_return found;
}

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                    resolve_options options) {
  return resolve(std::move(host), std::to_string(port), options);
}

task<std::string> reverse_resolve(address of) {
  auto asked = std::make_shared<detail::lookup>(detail::lookup::question::name);
  asked->of = of;
  co_await detail::lookup_operation(asked);
  if (asked->failed) detail::raise(asked->failed, of.to_string());
  co_return std::move(asked->name);
}

}  // namespace cosock

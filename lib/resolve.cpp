// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include <cosock/resolve.hpp>

#include "detail/engine.hpp"
#include "detail/system.hpp"

#include <netdb.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <thread>

namespace cosock {

namespace detail {

namespace {

class lookup_operation;

/// One question to the system. Shared by whoever waits for the answer and the thread that asks, each
/// of which may be gone before the other.
struct lookup {
  std::string host;
  std::string service;
  resolve_options options;
  endpoint reverse;
  bool is_reverse = false;

  std::vector<endpoint> endpoints;
  std::string name;
  failure failed;

  std::shared_ptr<remote> back;
  lookup_operation* waiter = nullptr;  // touched on the loop only
  std::atomic<bool> abandoned = false;

  void ask();
};

failure failure_of_lookup(int code) noexcept {
  switch (code) {
    case 0: return {};
    case EAI_SERVICE: return own_failure(error::service_not_found);
    case EAI_AGAIN:
    case EAI_FAIL: return own_failure(error::name_server);
    case EAI_MEMORY: return system_failure(ENOMEM);
    case EAI_SYSTEM: return system_failure(errno);
    default: return own_failure(error::host_not_found);
  }
}

void lookup::ask() {
  if (is_reverse) {
    system_address of(reverse);
    char text[NI_MAXHOST];
    const int code =
        ::getnameinfo(of.get(), of.size, text, sizeof text, nullptr, 0, NI_NAMEREQD);
    failed = failure_of_lookup(code);
    if (code == 0) name = text;
    return;
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = options.family == family::v4   ? AF_INET
                    : options.family == family::v6 ? AF_INET6
                                                   : AF_UNSPEC;
  addrinfo* found = nullptr;
  failed = failure_of_lookup(::getaddrinfo(host.c_str(), service.c_str(), &hints, &found));
  for (const addrinfo* each = found; each; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    system_address at;
    std::copy_n(reinterpret_cast<const char*>(each->ai_addr), each->ai_addrlen,
                reinterpret_cast<char*>(&at.storage));
    endpoints.push_back(at.to_endpoint());
  }
  if (found) ::freeaddrinfo(found);
  if (!failed && endpoints.empty()) failed = own_failure(error::host_not_found);
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
    failure_ = cancelled_failure();
    if (linked()) return;
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

struct answer final : posted {
  explicit answer(std::shared_ptr<lookup> to) : to(std::move(to)) {}
  void call() override {
    if (to->waiter) to->waiter->answered();
  }
  std::shared_ptr<lookup> to;
};

/// The threads that ask. They are started when needed, end when idle, and nobody waits for them: the
/// system's resolver cannot be interrupted, so neither a loop nor the process may depend on it.
class pool {
 public:
  static constexpr std::size_t most_threads = 16;
  static constexpr std::size_t most_queued = 4096;

  static pool& get() {
    static pool* const one = new pool;  // never destroyed: threads may be using it at exit
    return *one;
  }

  failure add(std::shared_ptr<lookup> what) {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= most_queued) return system_failure(ENOBUFS);
    if (idle_ <= queue_.size() && threads_ < most_threads) {
      try {
        start_thread();
      } catch (const std::system_error& e) {
        if (threads_ == 0) return system_failure(e.code().value());
      }
    }
    queue_.push_back(std::move(what));
    wake_.notify_one();
    return {};
  }

 private:
  void start_thread() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
    try {
      std::thread([this] { work(); }).detach();
      ++threads_;
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void work() {
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
        const auto back = job->back;
        back->post(std::make_unique<answer>(std::move(job)));
      }
      job.reset();
      lock.lock();
    }
    --threads_;
  }

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
    failure_ = f;
    return false;
  }
  suspend();
  return true;
}

/// Asks the system and throws what it says, with the host in front.
task<> ask_system(std::shared_ptr<lookup> what, std::string about) {
  co_await lookup_operation(what);
  if (what->failed) raise(what->failed, about);
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool wanted(const address& a, family which) noexcept {
  return which == family::any || a.is_v6() == (which == family::v6);
}

}  // namespace
}  // namespace detail

task<std::vector<endpoint>> resolve(std::string host, std::string service,
                                    resolve_options options) {
  using namespace detail;
  std::vector<endpoint> found;
  std::vector<address> numeric;
  address parsed;
  if (host.empty() && options.passive)
    numeric = {address::any_v6(), address::any_v4()};
  else if (host.empty())
    numeric = {address::loopback_v6(), address::loopback_v4()};
  else if (address::try_parse(host, parsed))
    numeric = {parsed};

  // A service that is not a number is looked up by the system, which takes "7x" for 7 in places.
  const bool number = is_number(service);
  const std::uint16_t port = number ? parse_port(service) : 0;
  if (!number && (service.empty() || service[0] < 'A' || service.find('\0') != service.npos))
    (void)parse_port(service.empty() ? std::string_view("") : std::string_view(service));
  if (number && !numeric.empty()) {
    for (const address& a : numeric)
      if (wanted(a, options.family)) found.emplace_back(a, port);
    if (found.empty()) raise(own_failure(error::host_not_found), host);
    co_return found;
  }
  if (host.size() > 255 || host.find('\0') != host.npos)
    raise(own_failure(error::host_not_found), host.substr(0, 64) + "...");

  auto question = std::make_shared<lookup>();
  question->host = numeric.empty() ? host : numeric.front().to_string();
  question->service = service;
  question->options = options;
  if (!number) host += ':' + service;
  co_await ask_system(question, std::move(host));  // a plain argument: see docs/gcc-12.md
  co_return std::move(question->endpoints);
}

task<std::vector<endpoint>> resolve(std::string host, std::uint16_t port,
                                    resolve_options options) {
  return resolve(std::move(host), std::to_string(port), options);
}

task<std::string> reverse_resolve(address of) {
  auto question = std::make_shared<detail::lookup>();
  question->is_reverse = true;
  question->reverse = endpoint(of, 0);
  co_await detail::ask_system(question, of.to_string());
  co_return std::move(question->name);
}

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The counters of the loops of a program, and of their servers, in the text format of Prometheus. A program
// keeps a loop_registry, has each loop enter it, and serves answer_scrape() on a port of its own.

#include <cosock/cosock.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// The counters of one loop, and of its server.
struct loop_figures {
  unsigned loop;
  cosock::loop_counters counters;
  cosock::serve_counters server;
};

/// The loops of a program. Any thread may use it.
class loop_registry {
  struct member {
    cosock::loop& loop;
    unsigned index;
    const cosock::server_handle& server;
  };

 public:
  /// Enters the loop that runs here, for as long as the object exists.
  class entry {
   public:
    entry(loop_registry& registry, unsigned index, const cosock::server_handle& server)
        : registry_(registry), member_(new member{cosock::loop::current(), index, server}) {
      const std::lock_guard lock(registry_.mutex_);
      registry_.members_.push_back(member_);
    }
    ~entry() {
      const std::lock_guard lock(registry_.mutex_);
      std::erase(registry_.members_, member_);
    }
    entry(const entry&) = delete;

   private:
    loop_registry& registry_;
    std::shared_ptr<member> member_;
  };

  /// Asks every loop for its figures. A loop that does not answer within a second is left out: a task
  /// blocks it.
  cosock::task<std::vector<loop_figures>> ask() {
    std::vector<loop_figures> all;
    cosock::mailbox<loop_figures> answers(1024);
    const std::size_t asked = send_questions(answers.make_sender());
    const auto collect = [&]() -> cosock::task<> {
      while (all.size() != asked) all.push_back(*co_await answers.receive());
    };
    const auto result =
        co_await cosock::as_result(cosock::with_timeout(std::chrono::seconds(1), collect()));
    if (result.error() != cosock::error::timed_out) result.value();
    std::sort(all.begin(), all.end(),
              [](const loop_figures& a, const loop_figures& b) { return a.loop < b.loop; });
    co_return all;
  }

 private:
  std::size_t send_questions(const cosock::mailbox<loop_figures>::sender& to) {
    const std::lock_guard lock(mutex_);  // so that the loops exist
    for (const std::shared_ptr<member>& asked : members_) {
      asked->loop.post([to, weak = std::weak_ptr<member>(asked)] {
        if (const std::shared_ptr<member> here = weak.lock())
          static_cast<void>(
              to.try_send({here->index, here->loop.counters(), here->server.counters()}));
      });
    }
    return members_.size();
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<member>> members_;
};

/// Writes metrics, each with a value for each loop.
class prometheus_text {
 public:
  explicit prometheus_text(const std::vector<loop_figures>& loops) : loops_(loops) {}

  /// `type` is counter or gauge. `value_of` takes the figures of a loop.
  template <class F>
  void add(const char* name, const char* type, const char* help, F value_of) {
    begin(name, type, help);
    for (const loop_figures& f : loops_) add_value(name, f.loop, "", number(value_of(f)));
  }

  void add_delays() {
    const char* const name = "cosock_scheduling_delay_seconds";
    begin(name, "histogram", "How long tasks that could go on waited for the loop.");
    for (const loop_figures& f : loops_) {
      const cosock::loop_counters& c = f.counters;
      std::uint64_t count = 0;
      for (std::size_t i = 0; i != c.delay_buckets; ++i) {
        count += c.delays[i];
        const bool last = i == c.delay_buckets - 1;
        add_value("cosock_scheduling_delay_seconds_bucket", f.loop,
                  ",le=\"" + (last ? "+Inf" : number(c.delay_bound(i))) + '"', number(count));
      }
      add_value("cosock_scheduling_delay_seconds_sum", f.loop, "", number(c.delay_sum));
      add_value("cosock_scheduling_delay_seconds_count", f.loop, "", number(count));
    }
  }
  std::string take() { return std::move(text_); }

 private:
  static std::string number(std::uint64_t value) { return std::to_string(value); }
  static std::string number(std::chrono::nanoseconds time) {
    std::array<char, 32> text;
    const int size = std::snprintf(text.data(), text.size(), "%.9g",
                                   std::chrono::duration<double>(time).count());
    return std::string(text.data(), static_cast<std::size_t>(size));
  }
  void begin(const std::string& name, const char* type, const char* help) {
    text_ += "# HELP " + name + ' ' + help + "\n# TYPE " + name + ' ' + type + '\n';
  }
  void add_value(const std::string& name, unsigned loop, const std::string& labels,
                 const std::string& value) {
    text_ += name + "{loop=\"" + std::to_string(loop) + '"' + labels + "} " + value + '\n';
  }

  const std::vector<loop_figures>& loops_;
  std::string text_;
};

inline std::string to_prometheus(const std::vector<loop_figures>& loops) {
  using figures = const loop_figures&;
  prometheus_text text(loops);
  text.add("cosock_tasks", "gauge", "Tasks that have not ended.",
           [](figures f) { return f.counters.tasks; });
  text.add("cosock_ready_operations", "gauge", "Operations whose tasks can go on.",
           [](figures f) { return f.counters.ready; });
  text.add("cosock_ready_operations_peak", "gauge", "The most that were ready in one turn.",
           [](figures f) { return f.counters.ready_peak; });
  text.add("cosock_descriptors", "gauge", "Descriptors whose events the loop waits for.",
           [](figures f) { return f.counters.descriptors; });
  text.add("cosock_timers", "gauge", "Sleeps and time limits that run.",
           [](figures f) { return f.counters.timers; });
  text.add("cosock_look_ups_running", "gauge", "Look-ups that threads are doing.",
           [](figures f) { return f.counters.look_ups_running; });
  text.add("cosock_look_ups_queued", "gauge", "Look-ups that wait for a thread.",
           [](figures f) { return f.counters.look_ups_queued; });
  text.add("cosock_calls_running", "gauge", "Calls of on_threads() that threads are doing.",
           [](figures f) { return f.counters.calls_running; });
  text.add("cosock_calls_queued", "gauge", "Calls of on_threads() that wait for a thread.",
           [](figures f) { return f.counters.calls_queued; });
  text.add("cosock_immediate_operations_total", "counter", "Operations that did not wait.",
           [](figures f) { return f.counters.completed_at_once; });
  text.add("cosock_waiting_operations_total", "counter", "Operations that waited, or yielded.",
           [](figures f) { return f.counters.completed_after_wait; });
  text.add("cosock_budget_yields_total", "counter", "Yields of tasks that never waited.",
           [](figures f) { return f.counters.budget_yields; });
  text.add("cosock_messages_total", "counter", "Messages from other threads.",
           [](figures f) { return f.counters.messages; });
  text.add("cosock_longest_turn_seconds", "gauge", "The longest time a task ran without waiting.",
           [](figures f) { return f.counters.longest_turn; });
  text.add_delays();
  text.add("cosock_server_connections", "gauge", "Connections that are being served.",
           [](figures f) { return f.server.active; });
  text.add("cosock_server_connections_peak", "gauge", "The most connections at one time.",
           [](figures f) { return f.server.peak; });
  text.add("cosock_server_accepted_total", "counter", "Connections that were accepted.",
           [](figures f) { return f.server.accepted; });
  text.add("cosock_server_failed_total", "counter", "Connections whose handler failed.",
           [](figures f) { return f.server.failed; });
  text.add("cosock_server_denied_total", "counter", "Connections that the filter denied.",
           [](figures f) { return f.server.denied; });
  text.add("cosock_server_rejected_total", "counter", "Errors of accept for want of room.",
           [](figures f) { return f.server.rejected; });
  text.add("cosock_server_accept_errors_total", "counter", "All errors of accept.",
           [](figures f) { return f.server.accept_errors; });
  text.add("cosock_server_received_bytes_total", "counter", "Bytes received.",
           [](figures f) { return f.server.bytes_in; });
  text.add("cosock_server_sent_bytes_total", "counter", "Bytes sent.",
           [](figures f) { return f.server.bytes_out; });
  return text.take();
}

/// Answers one request of HTTP: GET /metrics. Use it as a handler of serve(), with a time limit.
inline cosock::task<> answer_scrape(cosock::byte_stream& client, loop_registry& loops) {
  cosock::buffered_reader lines(client, {.max_line = 4096});
  std::string request;
  while (const auto line = co_await lines.read_line()) {
    if (request.empty()) request = *line;
    if (line->empty()) break;  // the end of the header
  }
  std::string status = "404 Not Found";
  std::string body = "the metrics are at /metrics\n";
  if (request.starts_with("GET /metrics ")) {
    const std::vector<loop_figures> figures = co_await loops.ask();
    status = "200 OK";
    body = to_prometheus(figures);
  }
  std::string answer = "HTTP/1.1 " + status + "\r\nContent-Type: text/plain; version=0.0.4\r\n";
  answer +=
      "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
  co_await client.send(answer);
}

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// dump_tasks(): what each task waits for, as text and as JSON. The operations and scopes tell it
// themselves, see wait_report.

#include <cosock/dump.hpp>

#include "core/coroutines.hpp"
#include "core/text.hpp"
#include "loop/dump.hpp"
#include "loop/system.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cosock {

namespace detail {

namespace {

/// Puts what it is told into a tree.
class tree_report final : public wait_report {
 public:
  explicit tree_report(const engine& loop) : loop_(loop), now_(loop.io().now()) {}

  void name(const char* text, std::size_t size) override {
    std::string& all = entry_->name;
    if (!all.empty()) all += " / ";
    all += printable({text, size});
  }
  void limit(std::int64_t at) override {
    if (at == INT64_MAX) return;
    const std::int64_t left = std::max<std::int64_t>(at - now_, 0);
    entry_->limit = std::min(entry_->limit.value_or(left), left);
  }
  void awaited_by(const void* coroutine) override {
    if (!coroutine) return;  // a root, which nobody awaits
    std::vector<std::source_location> inner;
    // The outermost coroutine is one of the library, around a child.
    for (const void* c = coroutine; promise_at(c).continuation;
         c = promise_at(c).continuation.address())
      inner.push_back(promise_at(c).where);
    inner.insert(inner.end(), entry_->where.begin(), entry_->where.end());
    entry_->where = std::move(inner);
  }
  void since(std::uint64_t stamp) override { entry_->waited = loop_.io().age(stamp); }
  void operation(const char* name) override { entry_->waits_for = name; }
  void descriptor(int fd, bool reads, bool is_tcp) override;
  void detail(const char* text, std::size_t size) override {
    (entry_->waits_for += ' ') += printable({text, size});
  }
  void count(std::size_t number, const char* what) override {
    entry_->waits_for += ", " + std::to_string(number) + ' ' + what;
  }
  void place(const char* what, const std::source_location& at) override;
  void child(const cancel_node& own) override {
    task_entry* const outer = entry_;
    std::vector<task_entry>& among = outer ? outer->tasks : tasks;
    task_entry added;
    added.cancelled = own.cancelled;
    entry_ = &added;
    if (own.pending)
      scope(own);
    else
      added.waits_for = "runs, or awaits something that is not of cosock";
    entry_ = outer;
    among.push_back(std::move(added));
  }

  std::vector<task_entry> tasks;

 private:
  const engine& loop_;
  const std::int64_t now_;
  task_entry* entry_ = nullptr;
};

// Descriptors. Some programs wait for 100,000 of them, so each costs few calls of the system.

void add_number(unsigned value, std::string& to) {
  char text[16];
  to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void add_name(const sockaddr_storage& name, socklen_t size, std::string& to) {
  if (name.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &name, sizeof v4);
    const std::uint32_t address = ntohl(v4.sin_addr.s_addr);
    for (int shift = 24; shift >= 0; shift -= 8) {
      add_number(address >> shift & 255, to);
      to += shift == 0 ? ':' : '.';
    }
    return add_number(ntohs(v4.sin_port), to);
  }
  if (name.ss_family == AF_INET6) {
    char text[INET6_ADDRSTRLEN] = "";
    sockaddr_in6 v6;
    std::memcpy(&v6, &name, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    ((to += '[') += text) += "]:";
    return add_number(ntohs(v6.sin6_port), to);
  }
  constexpr socklen_t before_path = offsetof(sockaddr_un, sun_path);
  if (name.ss_family != AF_UNIX || size <= before_path) return;
  const char* const path = reinterpret_cast<const char*>(&name) + before_path;
  const std::string_view all(path, size - before_path);
  if (all.front() == '\0')
    (to += '@') += printable(all.substr(1));
  else
    to += printable(all.substr(0, all.find('\0')));
}

/// Adds the name of the socket or of its peer, and `before` in front of it; nothing if it has none.
template <class Ask>
void add_name_of(int fd, Ask ask, const char* before, std::string& to) {
  sockaddr_storage name;
  name.ss_family = AF_UNSPEC;
  socklen_t size = sizeof name;
  if (ask(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return;
  const std::size_t begin = to.size();
  to += before;
  const std::size_t end = to.size();
  add_name(name, size, to);
  if (to.size() == end) to.resize(begin);
}

int option_of(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return system::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

/// What it is and what it is connected to: "tcp 127.0.0.1:7000 from 127.0.0.1:51234".
void tree_report::descriptor(int fd, bool reads, bool is_tcp) {
  std::string& to = entry_->waits_for;
  to.reserve(96);
  to += " on ";
  const int protocol = is_tcp ? IPPROTO_TCP : option_of(fd, SO_PROTOCOL);
  if (protocol == IPPROTO_TCP)
    to += "tcp";
  else if (protocol == IPPROTO_UDP)
    to += "udp";
  else if (option_of(fd, SO_DOMAIN) == AF_UNIX)
    to += "local socket";
  else
    to += "descriptor " + std::to_string(fd);
  add_name_of(fd, &system::getsockname, " ", to);
  add_name_of(fd, &system::getpeername, reads ? " from " : " to ", to);
}

void tree_report::place(const char* what, const std::source_location& at) {
  if (at.line() != 0) entry_->waits_for += std::string(", ") + what + ' ' + short_place(at);
}

std::string seconds(std::int64_t ns, int digits) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, static_cast<double>(ns) * 1e-9,
                                 std::chars_format::fixed, digits);
  return std::string(text, end.ptr);
}

void print(const std::vector<task_entry>& tasks, unsigned depth, std::string& to) {
  for (const task_entry& t : tasks) {
    to += '\n';
    to.append(2 * depth, ' ');
    if (!t.name.empty()) (to += in_quotes(t.name)) += t.where.empty() ? "" : ", ";
    for (std::size_t i = 0; i != t.where.size(); ++i)
      (to += i == 0 ? "" : " < ") += short_place(t.where[i]);
    if (!t.name.empty() || !t.where.empty()) to += ": ";
    if (t.waits_for.empty())
      to += "waits for " + counted(t.tasks.size(), "task");
    else
      to += t.waits_for;
    if (t.waited) to += ", for " + seconds(*t.waited, 1) + " s";
    if (t.limit) to += ", limit in " + seconds(*t.limit, 1) + " s";
    if (t.cancelled) to += ", cancelled";
    print(t.tasks, depth + 1, to);
  }
}

// JSON

void add_string(std::string_view text, std::string& to) {
  to += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char digits[] = "0123456789abcdef";
      to += "\\u00";
      to += digits[c >> 4];
      to += digits[c & 15];
    } else {
      to += c;
    }
  }
  to += '"';
}

void add_member(const char* name, std::string& to) {
  if (to.back() != '{') to += ',';
  add_string(name, to);
  to += ':';
}

void add_places(const std::vector<std::source_location>& all, std::string& to) {
  add_member("where", to);
  to += '[';
  for (const std::source_location& at : all) {
    if (to.back() != '[') to += ',';
    to += '{';
    add_member("file", to);
    add_string(at.file_name(), to);
    add_member("line", to);
    to += std::to_string(at.line());
    add_member("function", to);
    add_string(at.function_name(), to);
    to += '}';
  }
  to += ']';
}

void add_tasks(const std::vector<task_entry>& tasks, std::string& to) {
  add_member("tasks", to);
  to += '[';
  for (const task_entry& t : tasks) {
    if (to.back() != '[') to += ',';
    to += '{';
    if (!t.name.empty()) {
      add_member("name", to);
      add_string(t.name, to);
    }
    add_places(t.where, to);
    if (!t.waits_for.empty()) {
      add_member("waits_for", to);
      add_string(t.waits_for, to);
    }
    if (t.waited) {
      add_member("seconds", to);
      to += seconds(*t.waited, 3);
    }
    if (t.limit) {
      add_member("limit_seconds", to);
      to += seconds(*t.limit, 3);
    }
    if (t.cancelled) {
      add_member("cancelled", to);
      to += "true";
    }
    if (!t.tasks.empty()) add_tasks(t.tasks, to);
    to += '}';
  }
  to += ']';
}

std::string json_of(const engine& loop) {
  std::string text = "{";
  add_tasks(tasks_of(loop), text);
  return text += '}';
}

std::string dump_of(const engine& loop) {
  std::string text = task_lines(loop);
  if (!text.empty()) text.erase(0, 1);
  return text;
}

}  // namespace

std::string short_place(const std::source_location& at) {
  std::string_view file = at.file_name();
  file.remove_prefix(file.rfind('/') + 1);  // npos + 1 is 0
  return std::string(file) + ':' + std::to_string(at.line());
}

std::vector<task_entry> tasks_of(const engine& loop) {
  tree_report all(loop);
  loop.describe_roots(all);
  return std::move(all.tasks);
}

std::string task_lines(const engine& loop) {
  std::string text;
  print(tasks_of(loop), 0, text);
  return text;
}

}  // namespace detail

std::string dump_tasks() { return detail::dump_of(detail::engine::required()); }
std::string dump_tasks(const loop& of) { return detail::dump_of(detail::engine::get(of)); }
std::string dump_tasks_json() { return detail::json_of(detail::engine::required()); }
std::string dump_tasks_json(const loop& of) { return detail::json_of(detail::engine::get(of)); }

}  // namespace cosock

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Starting a program as posix_spawn(3) does, which cannot tell the child its own id: until it runs the
// program, the child uses the memory of this process, which stands still meanwhile. So it takes no time
// for the pages of a large process, and the functions of pthread_atfork(3), which are for children that
// go on without exec, are not called.

#include "service/new_process.hpp"

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "loop/signals_blocked.hpp"
#include "net/socket.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

// In the child the runtimes of sanitizers must not notice what happens: it has the memory of this thread.
#define COSOCK_IN_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))

namespace cosock::detail {

namespace {

constexpr int first_passed = 3;
constexpr std::size_t stack_size = 64 << 10;
constexpr std::size_t digits = 20;  // of an id, and the zero behind

/// All that the child needs, made before it starts: it must not allocate.
struct child_plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const int* sockets;
  int count;
  char* ids[2] = {};  // where its id goes
  volatile int error = 0;
};

/// Runs in the child. Uses system calls and nothing else: a function that is replaced by a sanitizer, or
/// that uses state of the C library, would change this process.
COSOCK_IN_CHILD int run_child(void* given) {
  child_plan& plan = *static_cast<child_plan*>(given);
  char number[digits];
  std::size_t length = 0;
  for (long id = ::syscall(SYS_getpid); id != 0; id /= 10)
    number[length++] = static_cast<char>('0' + id % 10);
  for (char* const into : plan.ids) {
    if (!into) continue;
    for (std::size_t i = 0; i != length; ++i) into[i] = number[length - 1 - i];
    into[length] = '\0';
  }
  bool good = true;
  // dup3 leaves close-on-exec off. No number is both: the sources are above all new numbers.
  for (int i = 0; good && i != plan.count; ++i)
    good = ::syscall(SYS_dup3, plan.sockets[i], first_passed + i, 0) >= 0;
  // Handlers must not run in the memory of this process. The kernel's structure begins with the handler;
  // a structure of zeros is the default action. Ignored signals stay ignored.
  for (int signal = 1; good && signal != NSIG; ++signal) {
    std::uintptr_t action[8] = {};
    ::syscall(SYS_rt_sigaction, signal, nullptr, action, NSIG / 8);
    if (action[0] == 0 || action[0] == 1) continue;
    for (std::uintptr_t& word : action) word = 0;
    ::syscall(SYS_rt_sigaction, signal, action, nullptr, NSIG / 8);
  }
  if (good) {
    const std::uint64_t no_signals = 0;
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
    ::syscall(SYS_execve, plan.program, plan.arguments, plan.environment);
  }
  plan.error = errno;
  ::syscall(SYS_exit, 127);
  return 127;
}

/// The file of a program: with a slash as it is, or else the first one in PATH.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* const path = std::getenv("PATH");
  std::string_view folders = path ? path : "/bin:/usr/bin";
  int error = ENOENT;
  while (!name.empty()) {
    const std::size_t end = folders.find(':');
    std::string file(folders.substr(0, end));
    file.append(file.empty() ? "./" : "/").append(name);
    struct stat found;
    if (::stat(file.c_str(), &found) == 0 && S_ISREG(found.st_mode)) {
      if (::access(file.c_str(), X_OK) == 0) return file;
      error = EACCES;
    }
    if (end == folders.npos) break;
    folders.remove_prefix(end + 1);
  }
  raise(system_failure(error), "the program " + in_quotes(name));
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

new_process::new_process(const std::vector<std::string>& arguments,
                         std::vector<std::string> environment, std::span<const int> sockets) {
  const std::string program = find_program(arguments.at(0));
  child_plan plan = {};
  std::size_t id = 0;
  for (std::string& entry : environment) {
    if (entry != "LISTEN_PID=" && entry != "WATCHDOG_PID=") continue;
    const std::size_t at = entry.size();
    entry.append(digits, '\0');
    if (id != std::size(plan.ids)) plan.ids[id++] = entry.data() + at;
  }
  std::vector<std::string> copies = arguments;
  const std::vector<char*> argument_pointers = pointers(copies);
  const std::vector<char*> environment_pointers = pointers(environment);
  std::vector<unique_descriptor> sources;
  std::vector<int> numbers;
  for (const int socket : sockets) {
    sources.push_back(duplicate(socket, first_passed + static_cast<int>(sockets.size())));
    numbers.push_back(sources.back().get());
  }
  plan.program = program.c_str();
  plan.arguments = argument_pointers.data();
  plan.environment = environment_pointers.data();
  plan.sockets = numbers.data();
  plan.count = static_cast<int>(numbers.size());

  const auto stack = std::make_unique<std::byte[]>(stack_size);
  std::byte* const top =
      stack.get() + stack_size - reinterpret_cast<std::uintptr_t>(stack.get() + stack_size) % 64;
  int end = -1;
  int error = 0;
  {
    const signals_blocked blocked;  // no handler may run in the child
    constexpr int how = CLONE_VM | CLONE_VFORK | SIGCHLD;
    id_ = ::clone(&run_child, top, how | CLONE_PIDFD, &plan, &end);
    if (id_ < 0 && errno == EINVAL) id_ = ::clone(&run_child, top, how, &plan);
    error = errno;
  }
  if (id_ < 0) raise(system_failure(error), "the program " + in_quotes(program));
  if (end < 0) end = static_cast<int>(::syscall(SYS_pidfd_open, id_, 0));
  end_ = unique_descriptor::adopt(above_standard(end));
  if (plan.error == 0) return;
  // The destructor is not called for an object that was not made.
  while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
  }
  raise(system_failure(plan.error), "the program " + in_quotes(program));
}

new_process::~new_process() {
  if (id_ < 0) return;
  ::kill(id_, SIGKILL);
  while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool new_process::has_ended() noexcept {
  if (ended_) return true;
  int status = 0;
  int id;
  do {
    id = ::waitpid(id_, &status, WNOHANG);
  } while (id < 0 && errno == EINTR);
  if (id == 0) return false;
  id_ = -1;
  // ECHILD: the program ignores SIGCHLD, or waits for all its children.
  if (id > 0) status_ = status;
  return ended_ = true;
}

std::string new_process::how_it_ended() const {
  if (!status_) return "ended, its exit status is not known,";
  if (WIFSIGNALED(*status_))
    return "was ended by signal " + std::to_string(WTERMSIG(*status_)) + " (" +
           ::strsignal(WTERMSIG(*status_)) + ")";
  return "ended with status " + std::to_string(WEXITSTATUS(*status_));
}

}  // namespace cosock::detail

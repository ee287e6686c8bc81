// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support.hpp"

#include <boost/test/results_collector.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>

/// A test case that runs in a child process with a network of its own: nothing but loopback, an
/// /etc of its own with the hosts and services below, and 127.0.0.53 as the name server. Where the
/// process may not have that, the case is skipped and says so.
#define NETWORK_TEST_CASE(name)                                                           \
  static void name##_body();                                                              \
  BOOST_AUTO_TEST_CASE(name, *boost::unit_test::precondition(test::may_have_a_network)) { \
    test::in_network(&name##_body);                                                       \
  }                                                                                       \
  static void name##_body()

/// The same with a coroutine for a body.
#define NETWORK_COROUTINE_TEST_CASE(name)                    \
  static cosock::task<> name##_task();                       \
  NETWORK_TEST_CASE(name) { test::run_case(name##_task()); } \
  static cosock::task<> name##_task()

/// A coroutine test case that runs in a child process.
#define CHILD_COROUTINE_TEST_CASE(name)                    \
  static cosock::task<> name##_task();                     \
  BOOST_AUTO_TEST_CASE(name) {                             \
    test::in_child([] { test::run_case(name##_task()); }); \
  }                                                        \
  static cosock::task<> name##_task()

#ifdef __SANITIZE_THREAD__
// The children end often, and a second each is what it would wait at their end.
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }

// The C library guards what it keeps of resolv.conf with a lock that the sanitizer does not see. It
// therefore looks away inside getaddrinfo, but not inside getnameinfo, where it sometimes reports a
// race of the C library with itself. So this one looks away too.
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);

int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size,
                char* service, socklen_t service_size, int flags) {
  static const auto real =
      reinterpret_cast<decltype(&::getnameinfo)>(::dlsym(RTLD_NEXT, "getnameinfo"));
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  const int result = real(address, size, host, host_size, service, service_size, flags);
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  return result;
}
}
#endif

namespace test {

/// The files of /etc in such a network.
struct etc {
  std::string resolv_conf = "nameserver 127.0.0.53\nsearch .\n";  // 5 s for an answer, twice
  std::string hosts = "127.0.0.1 localhost\n::1 localhost\n";
  std::string services = "http 80/tcp\n3com-tsmux 106/tcp\ntftp 69/udp\n";
  std::string nsswitch_conf = "hosts: files dns\nservices: files\n";
};

inline void write_file(const char* path, std::string_view text) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  check(fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
        path);
  ::close(fd);
}

/// Sets a network interface up.
inline void bring_up(const char* interface) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  check(::ioctl(fd, SIOCGIFFLAGS, &request) == 0, interface);
  request.ifr_flags |= IFF_UP;
  check(::ioctl(fd, SIOCSIFFLAGS, &request) == 0, interface);
  ::close(fd);
}

/// Waits until IPv6 multicast has a route over an interface: the system makes it some time after the
/// interface was set up.
inline void wait_for_multicast(const std::string& interface) {
  for (;;) {
    std::ifstream routes("/proc/self/net/ipv6_route");
    for (std::string line; std::getline(routes, line);)
      if (line.starts_with("ff00") && line.ends_with(' ' + interface)) return;
    ::usleep(1000);
  }
}

/// Gives the calling process a network and an /etc that end with it. Throws where it may not.
inline void enter_network(const etc& files = {}) {
  check(::unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount /");
  check(::mount("cosock", "/etc", "tmpfs", 0, nullptr) == 0, "mount /etc");
  ::mount("cosock", "/run/nscd", "tmpfs", 0, nullptr);  // hides a cache that asks elsewhere
  write_file("/etc/resolv.conf", files.resolv_conf);
  write_file("/etc/hosts", files.hosts);
  write_file("/etc/host.conf", "multi on\n");
  write_file("/etc/services", files.services);
  write_file("/etc/nsswitch.conf", files.nsswitch_conf);
  bring_up("lo");
}

/// Runs the body in a child process, as a part of the test case: what fails there fails here. A
/// child has the threads it starts to itself, so this process stays one that may fork (the thread
/// sanitizer insists on that).
inline void in_child(const std::function<void()>& body) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int s = 1; s != NSIG; ++s)
      ::signal(s, SIG_DFL);  // Boost.Test would go on with the next case
    bool good = false;
    try {
      const alarm_clock guard;
      body();
      const auto id = boost::unit_test::framework::current_test_case_id();
      good = boost::unit_test::results_collector.results(id).p_assertions_failed == 0;
    } catch (const std::exception& e) {
      std::cerr << "in the child process: " << e.what() << std::endl;
    } catch (...) {
      std::cerr << "the test ended in the child process" << std::endl;
    }
    std::exit(good ? 0 : 1);  // no _exit: leaks are looked for
  }
  int status = -1;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  BOOST_TEST(status == 0, "the child process ended with status " << status);
}

inline void in_network(const std::function<void()>& body, const etc& files = {}) {
  in_child([&] {
    enter_network(files);
    body();
  });
}

/// For BOOST_AUTO_TEST_CASE: whether this process may make networks.
inline boost::test_tools::assertion_result may_have_a_network(boost::unit_test::test_unit_id) {
  static const bool may = [] {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        enter_network();
        ::_exit(0);
      } catch (...) {
        ::_exit(1);
      }
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    if (status != 0) BOOST_TEST_MESSAGE("skipped: needs root, for a network namespace of its own");
    return status == 0;
  }();
  boost::test_tools::assertion_result result(may);
  if (!may) result.message() << "needs root, for a network namespace of its own";
  return result;
}

}  // namespace test

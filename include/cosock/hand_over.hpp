// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/acceptors.hpp>
#include <cosock/descriptor_handle.hpp>
#include <cosock/duration.hpp>
#include <cosock/task.hpp>
#include <cosock/unique_descriptor.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cosock {

namespace detail {
class descriptor_attachment;
class hand_over_run;

struct passed_socket {
  std::string name;
  unique_descriptor socket;
  std::shared_ptr<descriptor_attachment> file;  // destroyed before the socket closes
};
}  // namespace detail

/// The sockets that hand_over() passes to a new process, with their names. Owns duplicates of the
/// descriptors: while they exist, the sockets listen even if their acceptors are closed, and the files
/// of local sockets stay. Make it at the hand-over; for acceptors of several loops, before the loops take
/// them. Clear it when the program stops without a new process.
class COSOCK_API passed_sockets {
 public:
  passed_sockets() noexcept;
  passed_sockets(passed_sockets&&) noexcept;
  passed_sockets& operator=(passed_sockets&&) noexcept;
  ~passed_sockets();

  /// Adds a duplicate of a socket: an acceptor, a UDP or local datagram socket, or a connection. Call it
  /// on the thread of the socket's loop. Several sockets may have the same name. Throws system_error:
  /// invalid_argument for a name that is empty, longer than 255 bytes, or contains a colon or a character
  /// that is not printable ASCII; not_a_socket; bad_file_descriptor if the socket is closed;
  /// too_many_files_open.
  template <class Interface>
  void add(std::string_view name, const descriptor_handle<Interface>& socket) {
    add(name, socket.native_handle(), socket.object_);
  }
  /// Adds the sockets of all acceptors that were not taken. Throws as above; std::logic_error if all were
  /// taken.
  void add(std::string_view name, const tcp_acceptors& sockets);
  /// Adds the socket that these acceptors share. Throws as above; std::logic_error if all acceptors were
  /// taken.
  template <class Socket>
  void add(std::string_view name, const local_acceptors<Socket>& sockets) {
    add_shared(name, sockets);
  }
  /// Adds a duplicate of a descriptor, which stays with the caller. Throws as above.
  void add(std::string_view name, int descriptor) { add(name, descriptor, nullptr); }

  /// The number of sockets.
  [[nodiscard]] std::size_t size() const noexcept { return sockets_.size(); }
  /// Closes the duplicates. Idempotent.
  void clear() noexcept;

 private:
  friend class detail::hand_over_run;
  void add(std::string_view name, int descriptor, const detail::io_object* object);
  void add(std::string_view name, int descriptor,
           std::shared_ptr<detail::descriptor_attachment> file);
  void add_shared(std::string_view name, const detail::shared_acceptors_base& sockets);
  std::vector<detail::passed_socket> sockets_;
};

/// Options of hand_over().
struct hand_over_options {
  /// The time within which the new process has to call notify_ready(). Zero or less: hand_over() fails at
  /// once; `unlimited`: no limit.
  time_span ready_timeout = std::chrono::seconds(30);
};

/// Starts a new process that takes over the sockets, and waits until it is ready to serve. Returns its
/// process id. From then on both processes serve: stop the own acceptors, and let the connections drain
/// (server_handle::stop()). Then no connection is refused or reset; those in a backlog are served too,
/// because both processes have the same sockets, not only the same ports. A program that accepts without
/// serve() calls tcp_acceptor::accept_rest() before it closes acceptors of several loops.
///
/// The new process takes the sockets with inherited_sockets (inherited.hpp), and reports with
/// notify_ready() (notify.hpp) that it is ready. It may use other implementations of sd_listen_fds(3) and
/// sd_notify(3), but only notify.hpp finds the service manager afterwards.
///
/// `arguments`: the program and its arguments. A program without a slash is searched for in PATH. The
/// new process has the environment, the directory and the user of this one, its descriptors that are
/// not close-on-exec, and no blocked signals; ignored signals stay ignored. hand_over() sets LISTEN_FDS,
/// LISTEN_FDNAMES, LISTEN_PID, NOTIFY_SOCKET and COSOCK_MANAGER_SOCKET for it, and WATCHDOG_PID if this
/// process is watched. It tells the service manager of this process the new main process (MAINPID=, with
/// READY=1): call notify_reloading() before. The files of local sockets stay for the new process, which
/// does not remove them. The call blocks the thread until the program is loaded (execve(2)), for about a
/// millisecond.
///
/// Throws system_error, with the program in what(): the system's code if the process cannot be started,
/// such as no_such_file_or_directory or permission_denied; invalid_argument for no arguments, an argument
/// with a NUL, or no sockets; no_child_process if the new process ends before it is ready, with its exit
/// status or signal; `error::timed_out` after `ready_timeout`; the errors of notify() for the message to
/// the manager. After an error or a cancellation the new process has been killed (SIGKILL) and waited for,
/// and this process can serve as before. On Linux before 5.3 the end of the new process is noticed after
/// up to 20 ms.
///
/// The new process is a child of this one: a program that continues has to wait for it (waitpid(2)).
/// Not for the first process of a container, because the container ends with it. `sockets` must outlive
/// the `co_await`, and must not change meanwhile.
COSOCK_API task<int> hand_over(std::vector<std::string> arguments, const passed_sockets& sockets,
                               hand_over_options options = {});

}  // namespace cosock

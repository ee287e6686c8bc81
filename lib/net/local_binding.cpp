// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Names of local sockets, and their files: binding, the mode, replacing a stale file, removing it.
// It does not own the socket.

#include "net/local_binding.hpp"

#include "core/failure.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "loop/system.hpp"

#include <cosock/unique_descriptor.hpp>

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>
#include <ostream>

namespace cosock {

local_endpoint local_endpoint::make(kind type, std::string_view name) {
  const char* const noun = type == kind::path ? "the path" : "the abstract name";
  const auto refuse = [&](int error, const std::string& why) {
    detail::raise_as(detail::system_failure(error),
                     detail::in_quotes(name) + ": " + noun + " of a local socket " + why);
  };
  if (name.empty()) refuse(EINVAL, "is not empty");
  if (name.size() > max_size)
    refuse(ENAMETOOLONG, "has " + std::to_string(max_size) + " bytes at most, this one has " +
                             std::to_string(name.size()));
  if (type == kind::path && name.find('\0') != name.npos) refuse(EINVAL, "has no NUL inside");
  local_endpoint made;
  made.kind_ = type;
  made.size_ = static_cast<unsigned char>(name.copy(made.name_, name.size()));
  return made;
}

local_endpoint local_endpoint::path(std::string_view path) { return make(kind::path, path); }
local_endpoint local_endpoint::abstract(std::string_view name) {
  return make(kind::abstract, name);
}

local_endpoint local_endpoint::parse(std::string_view text) {
  return text.starts_with('@') ? abstract(text.substr(1)) : path(text);
}

std::string local_endpoint::to_string() const {
  const std::string shown = detail::printable(name());
  switch (kind_) {
    case kind::unnamed: return "(unnamed)";
    case kind::abstract: return '@' + shown;
    case kind::path: break;
  }
  return shown.starts_with('@') ? "./" + shown : shown;
}

std::ostream& operator<<(std::ostream& out, const local_endpoint& e) {
  return out << e.to_string();
}

namespace detail {

local_address::local_address(const local_endpoint& e) noexcept {
  storage.sun_family = AF_UNIX;
  const std::size_t begin = e.is_abstract() ? 1 : 0;
  std::memcpy(storage.sun_path + begin, e.name_, e.size_);
  // A path ends with a NUL. An abstract name does not: the NUL would be a part of it.
  const std::size_t length = e.is_unnamed() ? 0 : e.size_ + std::size_t{1};
  size = static_cast<socklen_t>(std::min(offsetof(sockaddr_un, sun_path) + length, sizeof storage));
}

local_endpoint local_address::to_endpoint() const noexcept {
  local_endpoint e;
  if (size <= offsetof(sockaddr_un, sun_path)) return e;
  // If a path fills sun_path, the system counts a NUL behind the array.
  const std::size_t length =
      std::min<std::size_t>(size - offsetof(sockaddr_un, sun_path), sizeof storage.sun_path);
  const char* from = storage.sun_path;
  if (*from == '\0') {
    e.kind_ = local_endpoint::kind::abstract;
    e.size_ = static_cast<unsigned char>(length - 1);
    ++from;
  } else {
    e.kind_ = local_endpoint::kind::path;
    e.size_ = static_cast<unsigned char>(::strnlen(from, length));
  }
  std::memcpy(e.name_, from, e.size_);
  return e;
}

namespace {

/// A lock on the folder of a path, between all processes that replace files in it. Without the lock
/// after a while: a process that can only read the folder could hold it without end.
class folder_lock {
 public:
  explicit folder_lock(std::string_view path) : fd_(unique_descriptor::adopt(open_folder(path))) {
    const timespec pause = {0, 1'000'000};
    for (int i = 0; i != 100 && fd_.get() >= 0; ++i) {
      if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
      ::nanosleep(&pause, nullptr);
    }
  }
  ~folder_lock() {
    if (fd_.get() >= 0) ::flock(fd_.get(), LOCK_UN);  // a child process may have the descriptor too
  }

 private:
  static int open_folder(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder(slash == path.npos ? "." : path.substr(0, slash + 1));
    return above_standard(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  unique_descriptor fd_;
};

/// What came of asking a socket file who is bound to it: 0 or an errno. Asks as a datagram socket,
/// which no acceptor sees: a socket of another type answers EPROTOTYPE, also before it listens.
int probe(local_address& name, const local_endpoint& at) {
  const auto socket = unique_descriptor::adopt(system::socket(AF_UNIX, SOCK_DGRAM));
  if (socket.get() < 0) raise(system_failure(errno), at.to_string());
  return system::connect(socket.get(), name.get(), name.size) == 0 ? 0 : errno;
}

/// Makes room for a new socket where an old one has left its file.
void remove_stale(local_address& name, const local_endpoint& at) {
  const char* const path = name.storage.sun_path;
  struct stat found;
  if (::lstat(path, &found) != 0) {
    if (errno == ENOENT) return;
    raise(system_failure(errno), at.to_string());
  }
  if (!S_ISSOCK(found.st_mode))
    raise(system_failure(EADDRINUSE), at.to_string() + ": there is a file that is no socket");
  const uid_t user = ::geteuid();
  if (user != 0 && found.st_uid != user)
    raise(system_failure(EADDRINUSE), at.to_string() + ": there is a socket of another user");
  const int answer = probe(name, at);
  if (answer == ENOENT) return;  // removed meanwhile; a new file there is not stale
  if (answer != ECONNREFUSED) raise(system_failure(EADDRINUSE), at.to_string());
  if (::unlink(path) != 0 && errno != ENOENT)
    raise(system_failure(errno), at.to_string() + ": a stale socket cannot be removed");
}

/// The bits that the umask took away. The rest has been right from the start.
void set_mode(const char* path, mode_t mode, const local_endpoint& at) {
  struct stat made;
  if (::lstat(path, &made) == 0 && (made.st_mode & 07777) == mode) return;
  int result = ::fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW);
  if (result != 0 && errno == EOPNOTSUPP) result = ::chmod(path, mode);
  if (result != 0) raise(system_failure(errno), at.to_string());
}

}  // namespace

local_binding::~local_binding() {
  if (!made_ || maker_ != ::getpid()) return;
  const local_address name(endpoint_);
  struct stat found;
  if (::lstat(name.storage.sun_path, &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_)
    ::unlink(name.storage.sun_path);
}

void local_binding::note() noexcept {
  const local_address name(endpoint_);
  struct stat found;
  if (::lstat(name.storage.sun_path, &found) != 0) return;
  device_ = found.st_dev;
  inode_ = found.st_ino;
  maker_ = ::getpid();
  made_ = true;
}

std::unique_ptr<local_binding> bind_local(int fd, const local_endpoint& at, int mode,
                                          bool replace) {
  local_address name(at);
  const auto bound = [&] { return system::bind(fd, name.get(), name.size) == 0; };
  // The simulation has no files: a path there is a name as an abstract one is.
  if (!at.is_path() || is_simulated(fd)) {
    if (!bound()) raise(system_failure(errno), at.to_string());
    return nullptr;
  }
  if (at.name().size() > local_endpoint::max_size)
    raise(system_failure(ENAMETOOLONG), at.to_string());
  // Allocated first: nothing has to be undone if this throws.
  auto binding = std::make_unique<local_binding>(at);
  // The file inherits the mode of the socket, less what the umask forbids.
  if (mode < 0 || mode > 07777)
    raise(system_failure(EINVAL), at.to_string() + ": mode " + std::to_string(mode));
  const auto bits = static_cast<mode_t>(mode);
  if (::fchmod(fd, bits) != 0) raise(system_failure(errno), at.to_string());
  if (!bound()) {
    if (errno != EADDRINUSE || !replace) raise(system_failure(errno), at.to_string());
    // Two processes may replace the same stale file. Without the lock the second one would remove
    // the new file of the first.
    const folder_lock lock(at.name());
    for (int tries = 1; !bound(); ++tries) {
      if (errno != EADDRINUSE || tries > 3) raise(system_failure(errno), at.to_string());
      remove_stale(name, at);
    }
    binding->note();
  } else {
    binding->note();
  }
  set_mode(name.storage.sun_path, bits, at);
  return binding;
}

}  // namespace detail
}  // namespace cosock

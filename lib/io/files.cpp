// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// open_file(), read_file() and write_file(): each is a call on a thread, which throws errors that name the
// path.

#include <cosock/file.hpp>

#include "core/failure.hpp"
#include "core/random.hpp"
#include "core/standard_numbers.hpp"
#include "core/text.hpp"
#include "io/file_state.hpp"

#include <cosock/threads.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string_view>

namespace cosock {

namespace {

using detail::in_quotes;
using detail::system_failure;

constexpr unsigned all_permissions = 07777;

[[noreturn]] void raise_at(const std::string& path, int error_number) {
  detail::raise(system_failure(error_number), in_quotes(path));
}

void check_path(const std::string& path) {
  if (path.find('\0') != path.npos)
    detail::raise_as(system_failure(EINVAL), in_quotes(path) + ": the path contains a NUL");
}

void check_permissions(const std::string& path, unsigned permissions) {
  if (permissions > all_permissions) {
    char number[16];
    std::snprintf(number, sizeof number, "0%o", permissions);
    detail::raise_as(system_failure(EINVAL),
                     in_quotes(path) + ": permissions are " + number + "; accepted: 0 to 07777");
  }
}

unique_descriptor open_path(const std::string& path, int flags, unsigned permissions) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, static_cast<mode_t>(permissions));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) raise_at(path, errno);
  return unique_descriptor::adopt(detail::above_standard(fd));
}

struct stat status_of(const std::string& path, int fd) {
  struct stat status;
  if (::fstat(fd, &status) != 0) raise_at(path, errno);
  return status;
}

int flags_of(file_mode mode) noexcept {
  switch (mode) {
    case file_mode::read: return O_RDONLY;
    case file_mode::write: return O_WRONLY | O_CREAT | O_TRUNC;
    case file_mode::create: return O_WRONLY | O_CREAT | O_EXCL;
    case file_mode::update: return O_RDWR;
    case file_mode::append: return O_WRONLY | O_CREAT | O_APPEND;
  }
  return O_RDONLY;
}

std::string read_all(const std::string& path, std::size_t max_bytes,
                     const std::atomic<bool>& is_cancelled) {
  const unique_descriptor file = open_path(path, O_RDONLY, 0);
  const struct stat status = status_of(path, file.get());
  const auto raise_too_large = [&] {
    detail::raise_as(system_failure(EFBIG), in_quotes(path) + ": more than " +
                                                detail::counted(max_bytes, "byte") +
                                                "; read_file_options::max_bytes is the limit");
  };
  if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) > max_bytes)
    raise_too_large();
  // Room for one byte more than it has: the call that fills it would not see the end. A file of the kernel
  // says that it is empty.
  const auto expected = S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) + 1 : 0;
  std::string bytes(std::max<std::size_t>(expected, 4096), '\0');
  std::size_t size = 0;
  while (!is_cancelled) {
    if (size == bytes.size()) bytes.resize(2 * size);
    const std::size_t room = std::min<std::size_t>(bytes.size() - size, 1 << 20);
    const ssize_t n = ::read(file.get(), bytes.data() + size, room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) raise_at(path, errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
    if (size > max_bytes) raise_too_large();
  }
  bytes.resize(size);
  return bytes;
}

/// A new file beside another, which is removed unless it takes the other's name.
class replacement {
 public:
  replacement(const std::string& path, unsigned permissions) : path_(path) {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    static std::atomic<std::uint64_t> made = 0;
    std::uint64_t state = static_cast<std::uint64_t>(now.tv_nsec) ^ (++made << 32) ^
                          static_cast<std::uint64_t>(::getpid());
    for (int attempts = 0;; ++attempts) {
      char suffix[24];
      std::snprintf(suffix, sizeof suffix, ".%016llx",
                    static_cast<unsigned long long>(detail::next_random(state)));
      name_ = folder() + "." + std::string(base()).substr(0, 200) + suffix;
      const int fd = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                            static_cast<mode_t>(permissions));
      if (fd >= 0) {
        file_ = unique_descriptor::adopt(detail::above_standard(fd));
        return;
      }
      if (errno != EEXIST || attempts == 100) raise_at(path_, errno);
    }
  }
  replacement(const replacement&) = delete;
  ~replacement() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }

  int fd() const noexcept { return file_.get(); }
  void write(const_buffer data) const {
    for (std::size_t done = 0; done != data.size();) {
      const ssize_t n =
          ::write(fd(), static_cast<const char*>(data.data()) + done, data.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) raise_at(path_, errno);
      done += static_cast<std::size_t>(n);
    }
  }
  void take_name() {
    if (::rename(name_.c_str(), path_.c_str()) != 0) raise_at(path_, errno);
    name_.clear();
  }
  void sync_folder() const {
    const std::string where = folder().empty() ? "." : folder();
    const unique_descriptor opened = open_path(where, O_RDONLY | O_DIRECTORY, 0);
    if (::fsync(opened.get()) != 0) raise_at(where, errno);
  }

 private:
  std::string folder() const { return path_.substr(0, path_.size() - base().size()); }
  std::string_view base() const {
    const std::string_view path = path_;
    return path.substr(path.rfind('/') + 1);  // all of it if there is none
  }

  const std::string& path_;
  std::string name_;  // empty: it has the name of the other
  unique_descriptor file_;
};

void replace(const std::string& path, const_buffer data, const write_file_options& options) {
  struct stat before = {};
  const bool keeps =
      !options.permissions && ::lstat(path.c_str(), &before) == 0 && S_ISREG(before.st_mode);
  const unsigned permissions =
      keeps ? before.st_mode & all_permissions : options.permissions.value_or(0666);
  replacement fresh(path, permissions);
  // Those of the old file, whatever umask says.
  if (keeps && ::fchmod(fresh.fd(), static_cast<mode_t>(permissions)) != 0) raise_at(path, errno);
  fresh.write(data);
  if (options.sync && ::fsync(fresh.fd()) != 0) raise_at(path, errno);
  fresh.take_name();
  if (options.sync) fresh.sync_folder();
}

}  // namespace

task<file_stream> open_file(std::string path, file_mode mode, file_options options) {
  check_path(path);
  check_permissions(path, options.permissions);
  const auto open = [path, mode, options] {
    // O_NONBLOCK: a pipe without a writer is refused, not waited for.
    unique_descriptor file = open_path(path, flags_of(mode) | O_NONBLOCK, options.permissions);
    if (!S_ISREG(status_of(path, file.get()).st_mode))
      detail::raise_as(system_failure(EOPNOTSUPP), in_quotes(path) + ": is not a regular file");
    return file;
  };
  unique_descriptor file = co_await on_threads(open, abandon);
  co_return file_stream(std::make_unique<detail::file_state>(std::move(file), mode));
}

task<std::string> read_file(std::string path, read_file_options options) {
  check_path(path);
  const auto is_cancelled = std::make_shared<std::atomic<bool>>(false);
  struct canceling {
    std::atomic<bool>& flag;
    ~canceling() { flag = true; }
  } const at_end{*is_cancelled};
  const auto read = [path, max_bytes = options.max_bytes, is_cancelled] {
    return read_all(path, max_bytes, *is_cancelled);
  };
  co_return co_await on_threads(read, abandon);
}

task<> write_file(std::string path, const_buffer data, write_file_options options) {
  check_path(path);
  check_permissions(path, options.permissions.value_or(0));
  const auto write = [&] { replace(path, data, options); };
  co_await on_threads(write);
}

}  // namespace cosock

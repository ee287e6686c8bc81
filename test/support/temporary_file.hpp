// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// A file of a test.

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

namespace test {

/// In the current directory, with a name of its own; removed at the end.
class temporary_file {
 public:
  explicit temporary_file(const std::string& content = {}) { write(content); }
  ~temporary_file() { ::unlink(path_.c_str()); }
  temporary_file(const temporary_file&) = delete;

  void write(const std::string& content) const { std::ofstream(path_) << content; }
  std::string read() const {
    std::ifstream from(path_);
    return {std::istreambuf_iterator<char>(from), {}};
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "test_file_" + std::to_string(::getpid()) + '_' + std::to_string(++count_);
  static inline int count_ = 0;
};

}  // namespace test

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#include "loop/cpu_quota.hpp"

#define BOOST_TEST_MODULE cpu_quota
#include <boost/test/unit_test.hpp>

#include <stdlib.h>

#include <filesystem>

namespace {

using cosock::detail::least_quota;
namespace fs = std::filesystem;

const unsigned no_limit = cosock::detail::cores_of(0, 0);

/// A tree of files as the system shows it, which ends with the test.
struct tree {
  tree() {
    std::string name = (fs::temp_directory_path() / "cosock-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()));
    root = name;
  }
  ~tree() { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) const {
    const fs::path at = root / name;
    fs::create_directories(at.parent_path());
    std::ofstream(at) << text;
  }
  unsigned quota() const {
    return least_quota((root / "groups").string(), (root / "mounted").string());
  }
  fs::path root;
};

BOOST_AUTO_TEST_CASE(no_cgroup_is_no_limit) {
  const tree files;
  BOOST_TEST(files.quota() == no_limit);
  files.write("groups", "0::/\n");
  BOOST_TEST(files.quota() == no_limit);
  files.write("mounted/cpu.max", "max 100000\n");
  BOOST_TEST(files.quota() == no_limit);
}

BOOST_AUTO_TEST_CASE(a_part_of_a_processor_counts_as_one) {
  const tree files;
  files.write("groups", "0::/\n");
  for (const auto& [text, cores] :
       {std::pair("50000 100000", 1u), std::pair("100000 100000", 1u),
        std::pair("150000 100000", 2u), std::pair("400000 100000", 4u)}) {
    files.write("mounted/cpu.max", text);
    BOOST_TEST(files.quota() == cores);
  }
}

BOOST_AUTO_TEST_CASE(the_least_of_the_group_and_those_above_counts) {
  const tree files;
  files.write("groups", "0::/system.slice/chat.service\n");
  files.write("mounted/system.slice/chat.service/cpu.max", "800000 100000");
  BOOST_TEST(files.quota() == 8u);
  files.write("mounted/system.slice/cpu.max", "300000 100000");
  BOOST_TEST(files.quota() == 3u);
  files.write("mounted/cpu.max", "200000 100000");
  BOOST_TEST(files.quota() == 2u);
}

BOOST_AUTO_TEST_CASE(a_group_that_is_not_visible_here_counts_as_its_root) {
  const tree files;
  files.write("groups", "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/docker/1\n");
  files.write("mounted/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  files.write("mounted/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  BOOST_TEST(files.quota() == 3u);
  files.write("mounted/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  BOOST_TEST(files.quota() == no_limit);
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_is_no_limit) {
  const tree files;
  files.write("groups", "nonsense\n:\n0::/a\n");
  for (const char* text : {"", "0 0", "-5 100000", "100000", "100000 0", "all 100000", "nan 1"}) {
    files.write("mounted/cpu.max", text);
    BOOST_TEST(files.quota() == no_limit);
  }
}

}  // namespace

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the conformance checks assert with, and where their failures are kept. Knows no test framework:
// without a recorder, a failure is an exception. Included by lib/testing, and by tests of the library.

#include <boost/system/error_code.hpp>

#include <exception>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cosock::testing::detail {

/// Ends a check that cannot go on. The failure is recorded already.
struct check_stopped {};

class info_scope;

/// Keeps the failures of the check that runs on this thread.
class recorder {
 public:
  recorder() noexcept : outer_(std::exchange(current, this)) {}
  ~recorder() { current = outer_; }
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  /// All failures, a line each; empty if there were none.
  const std::string& text() const noexcept { return text_; }
  void add(const std::string& failure) {
    constexpr std::size_t enough = 4000;  // a loop may fail in each round
    if (text_.size() > enough) return;
    if (!text_.empty()) text_ += '\n';
    text_ += failure;
  }
  static inline thread_local recorder* current = nullptr;

 private:
  recorder* outer_;
  std::string text_;
};

/// Says what a part of a check is about: added to its failures.
class info_scope {
 public:
  template <class Describe>
  explicit info_scope(Describe describe)
      : describe_(std::move(describe)), outer_(std::exchange(innermost, this)) {}
  ~info_scope() {
    // Scopes of tasks that run at the same time do not end in order.
    info_scope** at = &innermost;
    while (*at && *at != this) at = &(*at)->outer_;
    if (*at) *at = outer_;
  }
  info_scope(const info_scope&) = delete;
  info_scope& operator=(const info_scope&) = delete;

  static std::string all() {
    std::ostringstream out;
    for (const info_scope* s = innermost; s; s = s->outer_) {
      out << " (";
      s->describe_(out);
      out << ')';
    }
    return out.str();
  }

 private:
  static inline thread_local info_scope* innermost = nullptr;
  std::function<void(std::ostream&)> describe_;
  info_scope* outer_;
};

/// Records that a condition does not hold, or throws it if there is no recorder.
inline void fail(const char* file, int line, std::string what, bool stop) {
  const std::string path = file;
  what = path.substr(path.rfind('/') + 1) + ':' + std::to_string(line) + ": " + what +
         info_scope::all();
  if (!recorder::current) throw std::runtime_error(what);
  recorder::current->add(what);
  if (stop) throw check_stopped();
}

template <class T>
void print(std::ostream& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    out << (value ? "true" : "false");
  else if constexpr (std::is_same_v<T, boost::system::error_code>)
    out << '"' << (value ? value.message() : "no error") << '"';
  else if constexpr (requires { out << value; })
    out << value;
  else
    out << '?';
}

struct verdict {
  bool good;
  std::string values;  // of the two sides, if it is not good
};

/// The left side of a comparison.
template <class Left>
struct left_side {
  const Left& left;

#define COSOCK_COMPARISON(op)                                \
  template <class Right>                                     \
  verdict operator op(const Right& right) const {            \
    const bool good = static_cast<bool>(left op right);      \
    return {good, good ? std::string() : sides(#op, right)}; \
  }
  COSOCK_COMPARISON(==)
  COSOCK_COMPARISON(!=)
  COSOCK_COMPARISON(<)
  COSOCK_COMPARISON(<=)
  COSOCK_COMPARISON(>)
  COSOCK_COMPARISON(>=)
#undef COSOCK_COMPARISON

  operator verdict() const { return {static_cast<bool>(left), {}}; }

 private:
  template <class Right>
  std::string sides(const char* op, const Right& right) const {
    std::ostringstream out;
    print(out, left);
    out << ' ' << op << ' ';
    print(out, right);
    return out.str();
  }
};
struct expression {
  template <class Left>
  left_side<Left> operator->*(const Left& left) const {
    return {left};
  }
};

inline void judge(const verdict& of, const char* text, const char* file, int line, bool stop) {
  if (of.good) return;
  std::string what = std::string("expected ") + text;
  if (!of.values.empty()) what += " [" + of.values + ']';
  fail(file, line, std::move(what), stop);
}

}  // namespace cosock::testing::detail

// NOLINTBEGIN: the conditions are written as in a test case; `->*` binds most tightly.
/// Records a failure unless the condition holds; REQUIRE then also ends the check.
#define EXPECT(...)                                                                       \
  ::cosock::testing::detail::judge(::cosock::testing::detail::expression()->*__VA_ARGS__, \
                                   #__VA_ARGS__, __FILE__, __LINE__, false)
#define REQUIRE(...)                                                                      \
  ::cosock::testing::detail::judge(::cosock::testing::detail::expression()->*__VA_ARGS__, \
                                   #__VA_ARGS__, __FILE__, __LINE__, true)
/// Expects that the statement throws a system_error with this code.
#define EXPECT_ERROR(statement, expected)                                                     \
  do {                                                                                        \
    bool thrown = false;                                                                      \
    try {                                                                                     \
      statement;                                                                              \
    } catch (const boost::system::system_error& e) {                                          \
      thrown = true;                                                                          \
      const bool as_expected = e.code() == (expected);                                        \
      if (!as_expected)                                                                       \
        ::cosock::testing::detail::fail(                                                      \
            __FILE__, __LINE__,                                                               \
            "expected " #statement " to throw " #expected ", it threw " + e.code().message(), \
            false);                                                                           \
    }                                                                                         \
    if (!thrown)                                                                              \
      ::cosock::testing::detail::fail(__FILE__, __LINE__,                                     \
                                      "expected " #statement " to throw " #expected, false);  \
  } while (false)
/// Says, until the end of the block, what failures are about.
#define WITH_INFO(...) \
  const ::cosock::testing::detail::info_scope info([&](std::ostream& out) { out << __VA_ARGS__; })
// NOLINTEND

// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cosock/detail/core.hpp>

#include <boost/version.hpp>
#if BOOST_VERSION < 108100
#error "cosock needs Boost 1.81 or later: its error codes are larger than those of earlier ones"
#endif

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>

#include <functional>
#include <stdexcept>
#include <vector>

namespace cosock {

namespace detail {
class timeout_scope;
}

/// The error codes of the library; all other errors have codes of the system. Operations throw
/// boost::system::system_error with one of these codes or with an errno of the system category.
/// Each code equals the portable condition of boost::system::errc in parentheses.
enum class error {
  cancelled = 1,      ///< a cancellation scope ended the operation (operation_canceled)
  timed_out,          ///< a deadline ended the operation (timed_out)
  closed,             ///< this side has closed or destroyed the object (bad_file_descriptor)
  busy,               ///< another operation is pending in this direction (device_or_resource_busy)
  end_of_stream,      ///< the stream ended in the middle of a line, frame or block
                      ///< (no_message_available)
  host_not_found,     ///< no such host, or it has no address (host_unreachable)
  service_not_found,  ///< neither a port from 0 to 65535 nor a known service (invalid_argument)
  resolver_failed,    ///< the name server failed or did not answer (resource_unavailable_try_again)
  invalid_address,    ///< the text is no address, endpoint or address range (invalid_argument)
  wrong_loop,         ///< the object belongs to another loop (operation_not_permitted)
  message_truncated,  ///< a message did not fit into the buffer; its rest is lost (message_size)
  line_too_long,      ///< a line, or the text before a delimiter, is over its limit (message_size)
  frame_too_long,     ///< a frame, or a block, is over its limit (message_size)
  malformed_frame,    ///< the length prefix of a frame is malformed (bad_message)
  slow_consumer,      ///< the peer does not read, and its connection was closed (no_buffer_space)
  broken_promise,     ///< a promise was destroyed before it had a result (owner_dead)
  address_denied,     ///< an address_filter does not permit the address (permission_denied)
  too_many_descriptors,    ///< a peer passed more descriptors than a reader may hold (message_size)
  malformed_proxy_header,  ///< a PROXY header is malformed, or missing (bad_message)
  untrusted_proxy,         ///< a peer that is no trusted proxy was refused (permission_denied)
};

namespace detail {
[[nodiscard]] COSOCK_API const boost::system::error_category& own_category() noexcept;
}

/// Lets an error stand where an error_code is expected. The category of the code is called "cosock".
[[nodiscard]] inline boost::system::error_code make_error_code(error e) noexcept {
  return {static_cast<int>(e), detail::own_category()};
}

/// Base of errors that carry data besides the code; programs may derive their own. If a deadline
/// has ended the operation, with_timeout() and the other scopes replace the code `cancelled` by
/// `timed_out`, keep the data, and name the limit in what().
class COSOCK_API detailed_error : public boost::system::system_error {
 public:
  /// The text of what() is `about: message`, with the message of the code; without `about`, the message.
  explicit detailed_error(const boost::system::error_code&, const std::string& about = {});
  detailed_error(const detailed_error&) = default;
  detailed_error& operator=(const detailed_error&) = default;
  ~detailed_error() override;
  [[nodiscard]] const char* what() const noexcept override { return text_.what(); }
  /// Returns the same error with another code.
  [[nodiscard]] virtual std::exception_ptr with_code(const boost::system::error_code&) const = 0;

 private:
  friend class detail::timeout_scope;
  std::runtime_error text_;  // its copies share the text, so copying does not throw
};

/// Thrown when an operation fails after a part of the data was transferred, or when a message did
/// not fit. If nothing was transferred, operations throw a plain system_error.
class COSOCK_API transfer_error : public detailed_error {
 public:
  /// For those who implement streams.
  transfer_error(boost::system::error_code why, std::size_t bytes);
  /// For those who implement datagram sockets: an error after some datagrams of a batch, and their
  /// bytes.
  transfer_error(boost::system::error_code why, std::size_t bytes, std::size_t datagrams);
  ~transfer_error() override;
  /// How many bytes were sent, or received into the buffer, before the error.
  [[nodiscard]] std::size_t bytes_transferred() const noexcept { return bytes_; }
  /// How many datagrams of a batch, counted from the first, were sent before the error. 0 for the
  /// operations of streams.
  [[nodiscard]] std::size_t datagrams_transferred() const noexcept { return datagrams_; }
  [[nodiscard]] std::exception_ptr with_code(const boost::system::error_code&) const override;

 private:
  std::size_t bytes_;
  std::size_t datagrams_ = 0;
};

/// Several tasks that ran concurrently have failed. The code is that of the first, or
/// `state_not_recoverable` if that was no system_error; what() names them all.
class COSOCK_API multiple_errors : public boost::system::system_error {
 public:
  /// At least two errors, none of them null.
  explicit multiple_errors(std::vector<std::exception_ptr> errors);
  ~multiple_errors() override;
  [[nodiscard]] const char* what() const noexcept override { return text_.what(); }
  /// All errors, in the order in which they were raised; at least two.
  [[nodiscard]] const std::vector<std::exception_ptr>& errors() const noexcept { return errors_; }

 private:
  std::vector<std::exception_ptr> errors_;
  std::runtime_error text_;
};

/// The error of as_result: the code, and the exception that would have been thrown, which keeps
/// details such as the host, the address, or the number of bytes.
class COSOCK_API operation_error : public boost::system::error_code {
 public:
  /// No error.
  operation_error() noexcept = default;
  operation_error(const boost::system::error_code& code, std::exception_ptr exception = {}) noexcept
      : error_code(code), exception_(std::move(exception)) {}
  /// The exception, derived from system_error; null if there is no error.
  [[nodiscard]] std::exception_ptr exception() const;

 protected:
  operation_error(const boost::system::error_code& code, std::exception_ptr exception,
                  detail::passed_limit limit) noexcept
      : error_code(code), exception_(std::move(exception)), limit_(limit) {}

 private:
  std::exception_ptr exception_;  // null: says no more than the code and the limit
  detail::passed_limit limit_;
};

/// Throws the exception, as value() of a result does.
[[noreturn]] COSOCK_API void throw_exception_from_error(const operation_error&,
                                                        const boost::source_location&);

/// The result of as_result.
template <class T>
using result = boost::system::result<T, operation_error>;

/// Whether trying again cannot help, because the error is one of the program or of the machine:
///
///   invalid_argument              `service_not_found`, `invalid_address`, EINVAL
///   permission_denied             EACCES, `address_denied`
///   operation_not_permitted       EPERM, `wrong_loop`
///   address_family_not_supported  EAFNOSUPPORT; likewise protocol_not_supported
///   wrong_protocol_type           EPROTOTYPE: a local socket of another kind
///   filename_too_long             ENAMETOOLONG: a path no local socket can have
///   `busy`                        two tasks use the same direction of a socket
///
/// All else may pass, `host_not_found` included: a service that is not registered yet, or a machine
/// that is not on the network yet, looks like a name that is misspelt. Call resolve() to find out.
[[nodiscard]] COSOCK_API bool is_permanent(const boost::system::error_code&) noexcept;

/// The text of an exception, "unknown error" for one that has none.
[[nodiscard]] COSOCK_API std::string error_message(const std::exception_ptr&);
/// The text of the exception behind an error of as_result.
[[nodiscard]] COSOCK_API std::string error_message(const operation_error&);

namespace detail {

COSOCK_API boost::system::error_code to_error_code(const failure&) noexcept;

/// Makes an error by a time limit, which the text names.
struct limited_error : operation_error {
  limited_error(const boost::system::error_code& code, std::exception_ptr exception,
                passed_limit limit) noexcept
      : operation_error(code, std::move(exception), limit) {}
};

template <class A>
class COSOCK_AWAITABLE result_awaiter final : public awaiter_of<result_awaiter<A>> {
 public:
  using given = decltype(std::declval<A&>().result());
  using value = std::conditional_t<std::is_reference_v<given>,
                                   std::reference_wrapper<std::remove_reference_t<given>>, given>;
  template <class B>
  result_awaiter(std::in_place_t, B&& operation) : operand_(operand(std::forward<B>(operation))) {}

  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    return operand_.start(awaiting, parent);
  }
  cosock::result<value> result() {
    if (const failure f = operand_.fail())
      return {boost::system::in_place_error,
              limited_error(to_error_code(f), details(), limit_of(operand_))};
    if constexpr (std::is_void_v<value>) {
      operand_.result();
      return {};
    } else {
      return {boost::system::in_place_value, operand_.result()};
    }
  }
  failure fail() noexcept { return {0, nullptr}; }

 private:
  std::exception_ptr details() {
    if (!has_details(operand_)) return nullptr;
    try {
      static_cast<void>(operand_.result());
      return nullptr;
    } catch (const boost::system::system_error&) {
      return std::current_exception();
    } catch (...) {
      return nullptr;  // no memory for the details: the code is left
    }
  }
  A operand_;
};

}  // namespace detail

/// Awaits `operation`, a task or an operation, and returns a boost::system::result: the value,
/// which for a reference is a std::reference_wrapper, or the error that would have been thrown, as
/// a code. `value()` throws the very exception; `error_message(result.error())` is its text.
///
/// An operation whose error is no more than a code costs no exception this way; others cost one.
/// Exceptions that are no system_error pass unchanged.
template <class A>
auto as_result(A&& operation) {
  return detail::result_awaiter<detail::operand_t<A>>(std::in_place, std::forward<A>(operation));
}

}  // namespace cosock

template <>
struct boost::system::is_error_code_enum<cosock::error> : std::true_type {};

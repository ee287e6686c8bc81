// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// The category of cosock::error, the exceptions of <cosock/error.hpp>, and the functions of
// failure.hpp. Every layer reports its errors through this file; it knows nothing of the layers.

#include <cosock/error.hpp>
#include <cosock/finally.hpp>

#include <cosock/detail/size.hpp>

#include "core/failure.hpp"
#include "core/text.hpp"

#include <stdexcept>

namespace cosock {

namespace errc = boost::system::errc;

namespace {

class category final : public boost::system::error_category {
 public:
  // Boost compares categories by this id, so those of two copies of the library are equal.
  constexpr category() noexcept : error_category(0x9d2c5a4b71e0f386) {}
  const char* name() const noexcept override { return "cosock"; }

  std::string message(int code) const override { return text(code); }
  const char* message(int code, char*, std::size_t) const noexcept override { return text(code); }

  boost::system::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<error>(code)) {
      case error::cancelled: return make(errc::operation_canceled);
      case error::timed_out: return make(errc::timed_out);
      case error::closed: return make(errc::bad_file_descriptor);
      case error::busy: return make(errc::device_or_resource_busy);
      case error::end_of_stream: return make(errc::no_message_available);
      case error::host_not_found: return make(errc::host_unreachable);
      case error::service_not_found: return make(errc::invalid_argument);
      case error::resolver_failed: return make(errc::resource_unavailable_try_again);
      case error::invalid_address: return make(errc::invalid_argument);
      case error::wrong_loop: return make(errc::operation_not_permitted);
      case error::message_truncated: return make(errc::message_size);
      case error::line_too_long: return make(errc::message_size);
      case error::frame_too_long: return make(errc::message_size);
      case error::malformed_frame: return make(errc::bad_message);
      case error::slow_consumer: return make(errc::no_buffer_space);
      case error::broken_promise: return make(errc::owner_dead);
      case error::address_denied: return make(errc::permission_denied);
      case error::too_many_descriptors: return make(errc::message_size);
      case error::malformed_proxy_header: return make(errc::bad_message);
      case error::untrusted_proxy: return make(errc::permission_denied);
    }
    return {code, *this};
  }

 private:
  static boost::system::error_condition make(errc::errc_t e) noexcept {
    return errc::make_error_condition(e);
  }
  static const char* text(int code) noexcept {
    switch (static_cast<error>(code)) {
      case error::cancelled: return "the operation was cancelled";
      case error::timed_out: return "the time limit has passed";
      case error::closed: return "the socket is closed";
      case error::busy: return "another operation is pending in this direction of the socket";
      case error::end_of_stream: return "the stream ended before all was received";
      case error::host_not_found: return "no such host, or it has no address";
      case error::service_not_found: return "not a port from 0 to 65535";
      case error::resolver_failed: return "the name server failed or did not answer";
      case error::invalid_address: return "not an address";
      case error::wrong_loop: return "the object belongs to another loop";
      case error::message_truncated: return "the message does not fit into the buffer";
      case error::line_too_long: return "the line is too long";
      case error::frame_too_long: return "the frame is too long";
      case error::malformed_frame: return "the length of the frame is malformed";
      case error::slow_consumer: return "slow consumer: the peer is not reading";
      case error::broken_promise: return "the promise was destroyed without a result";
      case error::address_denied: return "the filter does not permit the address";
      case error::too_many_descriptors: return "the peer passed too many descriptors";
      case error::malformed_proxy_header: return "the PROXY header is malformed or missing";
      case error::untrusted_proxy: return "the peer is not a trusted proxy";
    }
    return "unknown error";
  }
};

constexpr category the_category;

/// A system_error whose text is for people: without category and number.
class plain_error final : public boost::system::system_error {
 public:
  plain_error(const boost::system::error_code& code, const std::string& text)
      : system_error(code), text_(text) {}
  const char* what() const noexcept override { return text_.what(); }

 private:
  std::runtime_error text_;  // its copies share the text, so copying does not throw
};

const boost::system::error_category& category_of(const detail::failure& f) noexcept {
  return *static_cast<const boost::system::error_category*>(f.category);
}

std::string list(const std::vector<std::exception_ptr>& errors) {
  std::string text = detail::counted(errors.size(), "task") + " failed";
  for (const auto& entry : errors)
    text += (&entry == &errors.front() ? ": " : "; ") + error_message(entry);
  return text;
}

boost::system::error_code first_code(const std::vector<std::exception_ptr>& errors) {
  if (const detail::failure f = detail::failure_of(errors.front())) return detail::to_error_code(f);
  return errc::make_error_code(errc::state_not_recoverable);
}

}  // namespace

const boost::system::error_category& detail::own_category() noexcept { return the_category; }

bool is_permanent(const boost::system::error_code& code) noexcept {
  for (const auto entry :
       {errc::invalid_argument, errc::permission_denied, errc::operation_not_permitted,
        errc::address_family_not_supported, errc::protocol_not_supported, errc::wrong_protocol_type,
        errc::filename_too_long})
    if (code == entry) return true;
  return code == error::busy;
}

detailed_error::detailed_error(const boost::system::error_code& code, const std::string& about)
    : system_error(code), text_(about.empty() ? code.message() : about + ": " + code.message()) {}
detailed_error::~detailed_error() = default;

transfer_error::transfer_error(boost::system::error_code why, std::size_t bytes)
    : detailed_error(why, "after " + detail::counted(bytes, "byte")), bytes_(bytes) {}
transfer_error::transfer_error(boost::system::error_code why, std::size_t bytes,
                               std::size_t datagrams)
    : detailed_error(why, "after " + detail::counted(datagrams, "datagram")),
      bytes_(bytes),
      datagrams_(datagrams) {}
transfer_error::~transfer_error() = default;
std::exception_ptr transfer_error::with_code(const boost::system::error_code& code) const {
  if (datagrams_ != 0) return std::make_exception_ptr(transfer_error(code, bytes_, datagrams_));
  return std::make_exception_ptr(transfer_error(code, bytes_));
}

multiple_errors::multiple_errors(std::vector<std::exception_ptr> errors)
    : system_error(first_code(errors)), errors_(std::move(errors)), text_(list(errors_)) {}
multiple_errors::~multiple_errors() = default;

std::exception_ptr operation_error::exception() const {
  if (exception_ || !failed()) return exception_;
  const bool by_limit = limit_ && *this == error::timed_out;
  return std::make_exception_ptr(
      plain_error(*this, by_limit ? detail::text_of(limit_) : message()));
}

void throw_exception_from_error(const operation_error& e, const boost::source_location&) {
  std::rethrow_exception(e.exception());
}

std::string error_message(const operation_error& e) { return error_message(e.exception()); }

std::string error_message(const std::exception_ptr& e) {
  try {
    if (e) std::rethrow_exception(e);
    return "no error";
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "unknown error";
  }
}

namespace detail {

failure to_failure(const boost::system::error_code& code) noexcept {
  return {code.value(), &code.category()};
}
failure own_failure(error e) noexcept { return {static_cast<int>(e), &the_category}; }
failure system_failure(int error_number) noexcept {
  return {error_number, &boost::system::system_category()};
}
failure cancelled_failure() noexcept { return own_failure(error::cancelled); }
bool is_cancelled(const failure& f) noexcept {
  return f.category == &the_category && f.value == static_cast<int>(error::cancelled);
}

boost::system::error_code to_error_code(const failure& f) noexcept {
  if (!f) return {};
  return {f.value, category_of(f)};
}

failure failure_of(const std::exception_ptr& e) noexcept {
  if (!e) return {};
  try {
    std::rethrow_exception(e);
  } catch (const boost::system::system_error& known) {
    return to_failure(known.code());
  } catch (...) {
    return {};
  }
}

void raise_after_cleanup(std::exception_ptr error, std::exception_ptr cleanup_error) {
  // A cancellation was asked for, so it does not turn the error of the cleanup into
  // multiple_errors.
  if (!error || is_cancelled(failure_of(error))) std::rethrow_exception(std::move(cleanup_error));
  throw multiple_errors({std::move(error), std::move(cleanup_error)});
}

void refuse_size(const char* option, std::size_t value, std::size_t limit) {
  throw std::invalid_argument("cosock: " + std::string(option) + ' ' + std::to_string(value) +
                              ": " + std::to_string(limit) + " at most");
}

void raise(const failure& f) { throw plain_error(to_error_code(f), to_error_code(f).message()); }
void raise(const failure& f, const std::string& about) {
  throw plain_error(to_error_code(f), about + ": " + to_error_code(f).message());
}
void raise_as(const failure& f, const std::string& text) {
  throw plain_error(to_error_code(f), text);
}

}  // namespace detail
}  // namespace cosock

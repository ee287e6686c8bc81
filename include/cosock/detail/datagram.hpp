// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0
#pragma once

// The operations of datagram.hpp, which includes this header. They know the type of the endpoint,
// and keep its value; the rest is in detail/message.hpp. Buffers belong to the caller.

#include <cosock/datagram.hpp>

namespace cosock {
namespace detail {

/// Access to the object of a socket, for operations of the library.
struct datagram_access {
  template <class Endpoint>
  static io_object* object_of(const datagram_socket<Endpoint>& s) noexcept {
    return s.object_;
  }
};

template <>
struct COSOCK_API sockaddr_traits<endpoint> {
  static const sockaddr_codec codec;
};

class COSOCK_AWAITABLE datagram_receive_operation final
    : public awaiter_of<datagram_receive_operation>,
      public datagram_operation {
 public:
  datagram_receive_operation(io_object* const& target, const void* memory, std::size_t size,
                             gather_function gather) noexcept
      : datagram_operation(kind::receive, target, memory, size, gather, nullptr) {}
  datagram_receive_operation(datagram_receive_operation&&) noexcept = default;
  receive_result result() const {
    raise_if_failed();
    return {moved_, length_, length_ > moved_, false};
  }
};

template <class Endpoint>
class COSOCK_AWAITABLE datagram_receive_from_operation final
    : public awaiter_of<datagram_receive_from_operation<Endpoint>>,
      public datagram_operation {
 public:
  datagram_receive_from_operation(io_object* const& target, const void* memory, std::size_t size,
                                  gather_function gather, packet_info* info) noexcept
      : datagram_operation(kind::receive, target, memory, size, gather,
                           &sockaddr_traits<Endpoint>::codec) {
    info_ = info;
  }
  datagram_receive_from_operation(datagram_receive_from_operation&&) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    peer_ = &sender_;
    return datagram_operation::start(awaiting, parent);
  }
  receive_from_result<Endpoint> result() const {
    raise_if_failed();
    receive_from_result<Endpoint> r;
    r.size = moved_;
    r.length = length_;
    r.truncated = length_ > moved_;
    r.from = sender_;
    return r;
  }

 private:
  Endpoint sender_;
};

class COSOCK_AWAITABLE datagram_receive_batch_operation final
    : public awaiter_of<datagram_receive_batch_operation>,
      public datagram_operation {
 public:
  datagram_receive_batch_operation(io_object* const& target, batch_memory& into) noexcept
      : datagram_operation(kind::receive_batch, target, &into, 0, nullptr, nullptr) {}
  datagram_receive_batch_operation(datagram_receive_batch_operation&&) noexcept = default;
  std::size_t result() const {
    raise_if_failed();
    return batch().datagrams;
  }
};

template <class Endpoint>
class COSOCK_AWAITABLE datagram_send_operation final
    : public awaiter_of<datagram_send_operation<Endpoint>>,
      public datagram_operation {
 public:
  datagram_send_operation(io_object* const& target, const void* memory, std::size_t size,
                          gather_function gather, const Endpoint* to,
                          const packet_info* source) noexcept
      : datagram_operation(kind::send, target, memory, size, gather,
                           &sockaddr_traits<Endpoint>::codec) {
    info_ = const_cast<packet_info*>(source);
    if (to) destination_ = *to;
    addressed_ = to != nullptr;
  }
  datagram_send_operation(datagram_send_operation&&) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    if (addressed_) peer_ = &destination_;
    return datagram_operation::start(awaiting, parent);
  }
  std::size_t result() const {
    raise_if_failed();
    return moved_;
  }

 private:
  Endpoint destination_;
  bool addressed_;
};

template <class T>
outgoing_list list_of(std::span<const T> all) noexcept {
  outgoing_list list;
  list.first = reinterpret_cast<const char*>(all.data());
  list.count = all.size();
  list.stride = sizeof(T);
  if constexpr (!std::same_as<T, const_buffer>) {
    list.peer_at = offsetof(T, to);
    list.info_at = offsetof(T, source);
    list.class_at = offsetof(T, traffic_class);
  }
  return list;
}

/// Sends one datagram as a batch: datagram_send_operation has no room for all that it may have, and
/// is smaller without.
template <class Endpoint>
class COSOCK_AWAITABLE outgoing_send_operation final
    : public awaiter_of<outgoing_send_operation<Endpoint>>,
      public datagram_operation {
 public:
  outgoing_send_operation(io_object* const& target,
                          const outgoing_datagram<Endpoint>& datagram) noexcept
      : datagram_operation(kind::send_batch, target, nullptr, 0, nullptr,
                           &sockaddr_traits<Endpoint>::codec),
        datagram_(datagram) {}
  outgoing_send_operation(outgoing_send_operation&&) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    list_ = list_of(std::span<const outgoing_datagram<Endpoint>>(&datagram_, 1));
    memory_ = &list_;
    peer_ = &datagram_.to;  // for the text of an error
    return datagram_operation::start(awaiting, parent);
  }
  std::size_t result() const {
    raise_if_failed();
    return datagram_.data.size();
  }

 private:
  outgoing_datagram<Endpoint> datagram_;
  outgoing_list list_;
};

template <class Endpoint>
class COSOCK_AWAITABLE datagram_send_batch_operation final
    : public awaiter_of<datagram_send_batch_operation<Endpoint>>,
      public datagram_operation {
 public:
  datagram_send_batch_operation(io_object* const& target, const outgoing_list& list,
                                const Endpoint* to) noexcept
      : datagram_operation(kind::send_batch, target, nullptr, 0, nullptr,
                           &sockaddr_traits<Endpoint>::codec),
        list_(list) {
    if (to) destination_ = *to;
    addressed_ = to != nullptr;
  }
  datagram_send_batch_operation(datagram_send_batch_operation&&) noexcept = default;
  step start(std::coroutine_handle<> awaiting, cancel_node& parent) {
    memory_ = &list_;
    if (addressed_) list_.peer = &destination_;
    return datagram_operation::start(awaiting, parent);
  }
  std::size_t result() const {
    if (failure_) [[unlikely]]
      raise_batch_failure();
    return moved_;
  }

 private:
  outgoing_list list_;
  Endpoint destination_;
  bool addressed_;
};

}  // namespace detail

template <class E>
detail::datagram_receive_operation datagram_socket<E>::receive(mutable_buffer into) {
  return {object_, into.data(), into.size(), nullptr};
}
template <class E>
template <detail::not_one_mutable_buffer Buffers>
detail::datagram_receive_operation datagram_socket<E>::receive(Buffers&& into) {
  detail::check_receives_into<Buffers>();
  return {object_, &into, 0, &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>};
}
template <class E>
detail::datagram_receive_from_operation<E> datagram_socket<E>::receive_from(mutable_buffer into) {
  return {object_, into.data(), into.size(), nullptr, nullptr};
}
template <class E>
template <detail::not_one_mutable_buffer Buffers>
detail::datagram_receive_from_operation<E> datagram_socket<E>::receive_from(Buffers&& into) {
  detail::check_receives_into<Buffers>();
  return {object_, &into, 0, &detail::gather<mutable_buffer, std::remove_cvref_t<Buffers>>,
          nullptr};
}
template <class E>
detail::datagram_receive_from_operation<E> datagram_socket<E>::receive_from(mutable_buffer into,
                                                                            packet_info& info) {
  return {object_, into.data(), into.size(), nullptr, &info};
}

template <class E>
detail::datagram_send_operation<E> datagram_socket<E>::send(const_buffer data) {
  return {object_, data.data(), data.size(), nullptr, nullptr, nullptr};
}
template <class E>
template <detail::not_one_const_buffer Buffers>
detail::datagram_send_operation<E> datagram_socket<E>::send(const Buffers& data) {
  detail::check_sends_from<Buffers>();
  return {object_, &data, 0, &detail::gather<const_buffer, Buffers>, nullptr, nullptr};
}
template <class E>
detail::datagram_send_operation<E> datagram_socket<E>::send_to(const_buffer data, const E& to) {
  return {object_, data.data(), data.size(), nullptr, &to, nullptr};
}
template <class E>
template <detail::not_one_const_buffer Buffers>
detail::datagram_send_operation<E> datagram_socket<E>::send_to(const Buffers& data, const E& to) {
  detail::check_sends_from<Buffers>();
  return {object_, &data, 0, &detail::gather<const_buffer, Buffers>, &to, nullptr};
}
template <class E>
detail::datagram_send_operation<E> datagram_socket<E>::send_to(const_buffer data, const E& to,
                                                               const packet_info& source) {
  return {object_, data.data(), data.size(), nullptr, &to, &source};
}
template <class E>
detail::outgoing_send_operation<E> datagram_socket<E>::send_to(const outgoing& datagram) {
  return {object_, datagram};
}

template <class E>
detail::datagram_receive_batch_operation datagram_socket<E>::receive_batch(batch& into) {
  return {object_, into};
}

template <class E>
template <detail::array_of<const_buffer> Buffers>
detail::datagram_send_batch_operation<E> datagram_socket<E>::send_batch(const Buffers& all) {
  return {object_, detail::list_of(std::span<const const_buffer>(all)), nullptr};
}
template <class E>
template <detail::array_of<const_buffer> Buffers>
detail::datagram_send_batch_operation<E> datagram_socket<E>::send_batch(const Buffers& all,
                                                                        const E& to) {
  return {object_, detail::list_of(std::span<const const_buffer>(all)), &to};
}
template <class E>
template <detail::array_of<outgoing_datagram<E>> Datagrams>
detail::datagram_send_batch_operation<E> datagram_socket<E>::send_batch(const Datagrams& all) {
  return {object_, detail::list_of(std::span<const outgoing>(all)), nullptr};
}

}  // namespace cosock
